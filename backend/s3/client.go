package s3

import (
	"context"
	"net"
	"net/http"
	"os"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	v4 "github.com/aws/aws-sdk-go-v2/aws/signer/v4"
	awshttp "github.com/aws/aws-sdk-go-v2/aws/transport/http"
	awsconfig "github.com/aws/aws-sdk-go-v2/config"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/smithy-go/logging"
)

const (
	dialTimeout = 10 * time.Second
	// maxStall is how long a connection may be without a byte in either direction before the attempt is given up.
	maxStall = 30 * time.Second
	// bufferSize of a connection: the default of 4 KiB costs a system call for each.
	bufferSize = 64 << 10
	maxIdle    = 256
)

// newClient makes the SDK's client, its requests counted by meter. The HTTP client is returned to be closed.
func newClient(ctx context.Context, cfg Config, meter *Meter) (*s3.Client, *http.Client, error) {
	options := []func(*awsconfig.LoadOptions) error{
		awsconfig.WithRegion(cfg.Region),
		// A BuildableClient, and no http.Client, as the SDK adds AWS_CA_BUNDLE to it.
		awsconfig.WithHTTPClient(awshttp.NewBuildableClient()),
		awsconfig.WithLogger(logging.Nop{}),
	}
	if cfg.AccessKeyID != "" {
		token := ""
		if cfg.AccessKeyID == os.Getenv("AWS_ACCESS_KEY_ID") {
			token = os.Getenv("AWS_SESSION_TOKEN")
		}
		options = append(options, awsconfig.WithCredentialsProvider(
			credentials.NewStaticCredentialsProvider(cfg.AccessKeyID, cfg.SecretAccessKey, token)))
	}
	loaded, err := awsconfig.LoadDefaultConfig(ctx, options...)
	if err != nil {
		return nil, nil, err
	}
	hc := httpClient(loaded, min(maxStall, max(time.Second, cfg.IOTimeout/2)))
	client := s3.NewFromConfig(loaded, func(o *s3.Options) {
		o.HTTPClient = &meteredClient{inner: delayed(hc, cfg.Delay), meter: meter, limit: cfg.IOTimeout}
		o.UsePathStyle = cfg.pathStyle()
		if cfg.Endpoint != "" {
			o.BaseEndpoint = aws.String(cfg.Endpoint)
		}
		// CRC-64 of everything costs more than all the rest of a request; we send our own CRC-32C where it is taken.
		o.RequestChecksumCalculation = aws.RequestChecksumCalculationWhenRequired
		o.ResponseChecksumValidation = aws.ResponseChecksumValidationWhenRequired
		// Expect: 100-continue costs a round trip for each part.
		o.ContinueHeaderThresholdBytes = -1
		o.DisableLogOutputChecksumValidationSkipped = true
		if cfg.tls() || cfg.UnsignedPayload || cfg.loopback() {
			o.APIOptions = append(o.APIOptions, v4.SwapComputePayloadSHA256ForUnsignedPayloadMiddleware)
		}
	})
	return client, hc, nil
}

// delayedClient is farther away than its inner one.
type delayedClient struct {
	inner s3.HTTPClient
	delay time.Duration
}

func delayed(inner s3.HTTPClient, delay time.Duration) s3.HTTPClient {
	if delay <= 0 {
		return inner
	}
	return &delayedClient{inner, delay}
}

// Do implements s3.HTTPClient.
func (c *delayedClient) Do(r *http.Request) (*http.Response, error) {
	t := time.NewTimer(c.delay)
	defer t.Stop()
	select {
	case <-r.Context().Done():
		return nil, r.Context().Err()
	case <-t.C:
		return c.inner.Do(r)
	}
}

// httpClient makes the HTTP client, with the certificates that the SDK found.
func httpClient(loaded aws.Config, stall time.Duration) *http.Client {
	base, ok := loaded.HTTPClient.(*awshttp.BuildableClient)
	if !ok {
		base = awshttp.NewBuildableClient()
	}
	t := base.GetTransport()
	dialer := &net.Dialer{Timeout: min(dialTimeout, stall)}
	t.DialContext = func(ctx context.Context, network, addr string) (net.Conn, error) {
		c, err := dialer.DialContext(ctx, network, addr)
		if err != nil {
			return nil, err
		}
		return newStallConn(c, stall), nil
	}
	t.MaxIdleConns, t.MaxIdleConnsPerHost = maxIdle, maxIdle
	t.IdleConnTimeout = stall * 2 / 3 // before it looks stalled
	t.ReadBufferSize, t.WriteBufferSize = bufferSize, bufferSize
	t.ForceAttemptHTTP2 = false
	t.MaxResponseHeaderBytes = maxHeader
	return &http.Client{
		Transport:     t,
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
}
