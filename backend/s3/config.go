package s3

import (
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/url"
	"path"
	"slices"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/s3/types"

	"github.com/graviton-fs/graviton/backend/blob"
)

// Limits of S3.
const (
	MinPartSize = 5 << 20
	MaxPartSize = 5 << 30
	MaxParts    = 10_000
)

// maxPrefix leaves room for a key in the 1,024 bytes of an object's name.
const maxPrefix = 1024 - 2*blob.MaxKeyLen

// ErrConfig is wrapped by every error about a Config.
var ErrConfig = errors.New("invalid S3 configuration")

// Config says which bucket, and how it is used. Only Bucket is required.
type Config struct {
	Bucket string
	Region string // "us-east-1" if empty

	// AccessKeyID and SecretAccessKey are credentials; both empty for the SDK's chain (environment, profile, role).
	// If they are those of the environment, AWS_SESSION_TOKEN belongs to them.
	AccessKeyID, SecretAccessKey string

	// Endpoint is http(s)://host[:port] of a server other than AWS.
	Endpoint string
	// PathStyle puts the bucket into the path instead of the host name. An IP address or localhost implies it.
	PathStyle bool
	// UnsignedPayload leaves the body out of the signature without TLS as well, which saves its SHA-256: for networks
	// that nobody else writes to. With TLS, which protects it, and on this host the body is never signed.
	UnsignedPayload bool

	PartSize int64 // bytes of a part of an upload, and most of a single PUT; MinPartSize if 0
	MaxParts int   // most parts of an upload; the limit of S3 if 0

	// KeyPrefix begins the names of all blobs, for example "vol1/blobs/". Marker and lease are in its parent's meta/.
	KeyPrefix string
	// StorageClass of new blobs; the bucket's default if empty. Marker and lease don't have it.
	StorageClass string
	// VolumeID, if set, is written to the bucket's marker, and a marker with another one is refused.
	VolumeID string
	// ReadOnly opens without any write, the marker included; writes return blob.ErrReadOnly.
	ReadOnly bool

	// IOTimeout is how long an operation that fails is tried again. 1 minute if 0.
	IOTimeout time.Duration
	// OpenTimeout is the same for Open. The lower of IOTimeout and 10 seconds if 0.
	OpenTimeout time.Duration
	// Concurrency bounds the parts in flight, and the chunks read ahead, of the whole store. 8 if 0.
	Concurrency int

	// Delay is added to every request, to measure what a bucket that far away would be like.
	Delay time.Duration

	Logger *slog.Logger // slog.Default() if nil
}

// archiveClasses are those whose objects can't be read without a restore.
var archiveClasses = []types.StorageClass{types.StorageClassGlacier, types.StorageClassDeepArchive}

// Archived tells whether objects of a storage class must be restored before they can be read.
func Archived(class string) bool { return slices.Contains(archiveClasses, types.StorageClass(class)) }

// withDefaults fills in what is zero.
func (c Config) withDefaults() Config {
	set(&c.Region, "us-east-1")
	set(&c.PartSize, MinPartSize)
	set(&c.MaxParts, MaxParts)
	set(&c.IOTimeout, time.Minute)
	set(&c.OpenTimeout, min(c.IOTimeout, 10*time.Second))
	set(&c.Concurrency, 8)
	if c.Logger == nil {
		c.Logger = slog.Default()
	}
	return c
}

func set[T comparable](v *T, def T) {
	var zero T
	if *v == zero {
		*v = def
	}
}

// Validate reports the first thing wrong with a Config, and how to mend it.
func (c Config) Validate() error {
	c = c.withDefaults()
	bad := func(format string, args ...any) error {
		return fmt.Errorf("%w: %s", ErrConfig, fmt.Sprintf(format, args...))
	}
	switch {
	case c.Bucket == "":
		return bad("no bucket is named")
	case (c.AccessKeyID == "") != (c.SecretAccessKey == ""):
		return bad("access key id and secret access key must be set both or neither")
	case c.PartSize < MinPartSize || c.PartSize > MaxPartSize:
		return bad("a part size of %d bytes: S3 takes 5 MiB to 5 GiB", c.PartSize)
	case c.MaxParts < 1 || c.MaxParts > MaxParts:
		return bad("at most %d parts: S3 takes 1 to %d", c.MaxParts, MaxParts)
	case c.IOTimeout < 0 || c.OpenTimeout < 0:
		return bad("a timeout is negative")
	case c.Concurrency < 0:
		return bad("a concurrency of %d", c.Concurrency)
	case strings.HasPrefix(c.KeyPrefix, "/") || c.KeyPrefix != "" && path.Clean("/"+c.KeyPrefix) != "/"+strings.TrimSuffix(c.KeyPrefix, "/"):
		return bad("key prefix %q begins with a slash or has an empty part, \".\" or \"..\"; write for example \"vol1/blobs/\"", c.KeyPrefix)
	case len(c.KeyPrefix) > maxPrefix:
		return bad("a key prefix of %d bytes; %d is the most", len(c.KeyPrefix), maxPrefix)
	}
	known := types.StorageClass("").Values()
	if class := types.StorageClass(c.StorageClass); class != "" && !slices.Contains(known, class) {
		return bad("unknown storage class %q; known are %v", c.StorageClass, known)
	}
	if c.Endpoint != "" {
		u, err := url.Parse(c.Endpoint)
		if err != nil || u.Host == "" || u.Scheme != "http" && u.Scheme != "https" {
			return bad("endpoint %q; write http(s)://host[:port]", redact(c.Endpoint))
		}
	}
	return nil
}

// redact drops what may be a password from a URL.
func redact(endpoint string) string {
	if i := strings.LastIndex(endpoint, "@"); i >= 0 {
		return "…" + endpoint[i:]
	}
	return endpoint
}

// pathStyle tells whether the bucket goes into the path.
func (c Config) pathStyle() bool {
	if c.PathStyle {
		return true
	}
	return net.ParseIP(c.host()) != nil || c.loopback()
}

// host is the endpoint's, or "".
func (c Config) host() string {
	u, err := url.Parse(c.Endpoint)
	if err != nil {
		return ""
	}
	return strings.ToLower(u.Hostname())
}

// loopback tells whether the server is on this host.
func (c Config) loopback() bool {
	host := c.host()
	return net.ParseIP(host).IsLoopback() || host == "localhost" || strings.HasSuffix(host, ".localhost")
}

// tls tells whether requests go over TLS.
func (c Config) tls() bool { return !strings.HasPrefix(c.Endpoint, "http:") }

// metaPrefix is where marker and lease are: meta/ in the parent of the key prefix.
func (c Config) metaPrefix() string {
	parent := strings.TrimSuffix(c.KeyPrefix, "/")
	return parent[:strings.LastIndex(parent, "/")+1] + "meta/"
}

// String is the store's name, so that a Config in a message shows no secret.
func (c Config) String() string { return c.name() }

// GoString is String, for %#v.
func (c Config) GoString() string { return c.name() }

// name is the store's name in messages.
func (c Config) name() string { return "s3://" + c.Bucket + "/" + c.KeyPrefix }
