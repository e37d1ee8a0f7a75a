package s3

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"net/http"

	v4 "github.com/aws/aws-sdk-go-v2/aws/signer/v4"
	"github.com/aws/smithy-go"
	smithyhttp "github.com/aws/smithy-go/transport/http"

	"github.com/graviton-fs/graviton/backend/blob"
)

// What Open, and any operation later, may find wrong with the way to the bucket. Each message says how to mend it.
var (
	ErrCredentials = errors.New("credentials are refused")
	ErrDenied      = errors.New("access is denied")
	ErrNoBucket    = errors.New("no such bucket")
	ErrRegion      = errors.New("wrong region")
	ErrClock       = errors.New("clocks differ")
	ErrTLS         = errors.New("no trusted TLS connection")
	// ErrForeign is a prefix that holds another volume, or objects that aren't Graviton's.
	ErrForeign = errors.New("the prefix is in use")
)

// reported is an error of the SDK in one line, with a sentinel; the original is kept for errors.As.
type reported struct {
	kind  error
	text  string
	cause error
}

// Error implements error.
func (r *reported) Error() string {
	if r.kind == nil {
		return r.text
	}
	return r.kind.Error() + ": " + r.text
}

// Unwrap returns the sentinel and the SDK's error.
func (r *reported) Unwrap() []error {
	if r.kind == nil {
		return []error{r.cause}
	}
	return []error{r.kind, r.cause}
}

// byCode maps the server's error codes to sentinels.
var byCode = map[string]error{
	"NoSuchKey":                          blob.ErrNotFound,
	"NotFound":                           blob.ErrNotFound, // of HEAD, which has no body
	"NoSuchUpload":                       blob.ErrInvalid,
	"InvalidPart":                        blob.ErrInvalid,
	"InvalidRange":                       blob.ErrInvalid,
	"InvalidArgument":                    blob.ErrInvalid,
	"InvalidPartOrder":                   blob.ErrInvalid,
	"EntityTooSmall":                     blob.ErrInvalid,
	"EntityTooLarge":                     blob.ErrInvalid,
	"PreconditionFailed":                 blob.ErrExists,
	"InvalidObjectState":                 blob.ErrArchived,
	"QuotaExceeded":                      blob.ErrNoSpace,
	"XMinioStorageFull":                  blob.ErrNoSpace,
	"InsufficientStorage":                blob.ErrNoSpace,
	"NoSuchBucket":                       ErrNoBucket,
	"InvalidAccessKeyId":                 ErrCredentials,
	"SignatureDoesNotMatch":              ErrCredentials,
	"ExpiredToken":                       ErrCredentials,
	"InvalidToken":                       ErrCredentials,
	"TokenRefreshRequired":               ErrCredentials,
	"AccessDenied":                       ErrDenied,
	"AllAccessDisabled":                  ErrDenied,
	"AccountProblem":                     ErrDenied,
	"RequestTimeTooSkewed":               ErrClock,
	"PermanentRedirect":                  ErrRegion,
	"AuthorizationHeaderMalformed":       ErrRegion,
	"IllegalLocationConstraintException": ErrRegion,
	"SlowDown":                           blob.ErrUnavailable,
	"ServiceUnavailable":                 blob.ErrUnavailable,
	"InternalError":                      blob.ErrUnavailable,
	"RequestTimeout":                     blob.ErrUnavailable,
}

// advice says how to mend what is named.
var advice = map[string]string{
	"NoSuchBucket":          "create it (aws s3 mb s3://NAME), or correct s3.bucket",
	"InvalidAccessKeyId":    "the server doesn't know s3.access-key-id",
	"SignatureDoesNotMatch": "s3.secret-access-key doesn't belong to s3.access-key-id",
	"ExpiredToken":          "the session has ended: get new credentials",
	"RequestTimeTooSkewed":  "this machine's clock differs from the server's by more than 15 minutes: set it, for example with NTP",
	"InvalidObjectState":    "restore the object first (aws s3api restore-object)",
	"NoSuchUpload":          "the upload was aborted or completed elsewhere",
}

// translate turns an error of the SDK into one that names its kind, by type and by code.
func translate(ctx context.Context, err error) error {
	if err == nil {
		return nil
	}
	if cause := ctx.Err(); cause != nil {
		return &reported{text: cause.Error(), cause: cause}
	}
	var already *reported
	if errors.As(err, &already) {
		return err
	}
	var api smithy.APIError
	if errors.As(err, &api) {
		return translateAPI(api, err)
	}
	var cert *tls.CertificateVerificationError
	var plain tls.RecordHeaderError
	var signing *v4.SigningError
	var send *smithyhttp.RequestSendError
	var netErr net.Error
	switch {
	case errors.As(err, &cert):
		return &reported{ErrTLS, cert.Err.Error() + "; add the server's CA to the system, or name its file in AWS_CA_BUNDLE", err}
	case errors.As(err, &plain), errors.Is(err, http.ErrSchemeMismatch):
		return &reported{ErrTLS, "the server speaks no TLS there; write http:// in s3.endpoint if that is meant", err}
	case errors.As(err, &signing):
		return &reported{ErrCredentials, "none are found: set s3.access-key-id and s3.secret-access-key, a profile or a role", err}
	case errors.As(err, &send):
		return &reported{blob.ErrUnavailable, send.Err.Error(), err}
	case errors.As(err, &netErr):
		return &reported{blob.ErrUnavailable, netErr.Error(), err}
	case errors.Is(err, errCut):
		return &reported{blob.ErrUnavailable, err.Error(), err}
	}
	return err
}

func translateAPI(api smithy.APIError, err error) error {
	name, st := api.ErrorCode(), status(err)
	kind := byCode[name]
	if kind == nil {
		switch {
		case st == http.StatusNotFound:
			kind = blob.ErrNotFound
		case st == http.StatusPreconditionFailed:
			kind = blob.ErrExists
		case st == http.StatusForbidden:
			kind = ErrDenied
		case st == http.StatusMovedPermanently:
			kind = ErrRegion
		case st >= 500 && st != http.StatusNotImplemented:
			kind = blob.ErrUnavailable
		}
	}
	text := name
	if msg := api.ErrorMessage(); msg != "" && msg != name {
		text += ", " + msg[:min(len(msg), maxMessage)]
	}
	if st != 0 {
		text += fmt.Sprintf(" (HTTP %d)", st)
	}
	if kind == ErrRegion {
		text += regionAdvice(err)
	} else if a := advice[name]; a != "" {
		text += ": " + a
	} else if kind == ErrDenied {
		text += rightAdvice(err)
	}
	return &reported{kind, text, err}
}

// regionAdvice names the bucket's region, where the server told it.
func regionAdvice(err error) string {
	var r *smithyhttp.ResponseError
	if errors.As(err, &r) && r.Response != nil {
		if region := r.Response.Header.Get("x-amz-bucket-region"); region != "" {
			return fmt.Sprintf(": the bucket is in %s; set s3.region", region)
		}
	}
	return ": set s3.region to the bucket's"
}

// wrap makes the port's error of an operation.
func (s *Store) wrap(ctx context.Context, op string, key blob.Key, err error) error {
	return blob.Wrap(op, s.cfg.name(), key, translate(ctx, err))
}

// missing tells whether an error says that an object, and not the bucket, is missing.
func missing(err error) bool {
	return code(err) == "NoSuchKey" || code(err) == "NotFound" || status(err) == http.StatusNotFound && code(err) != "NoSuchBucket" && code(err) != "NoSuchUpload"
}

// refused tells whether a condition of the request didn't hold.
func refused(err error) bool {
	return code(err) == "PreconditionFailed" || status(err) == http.StatusPreconditionFailed
}
