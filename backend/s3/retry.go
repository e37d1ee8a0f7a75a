package s3

import (
	"context"
	"crypto/tls"
	"errors"
	"math/rand/v2"
	"net/http"
	"sync/atomic"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/aws/ratelimit"
	"github.com/aws/aws-sdk-go-v2/aws/retry"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/smithy-go"

	"github.com/graviton-fs/graviton/backend/patience"
)

const (
	firstBackoff    = 50 * time.Millisecond
	throttleBackoff = 250 * time.Millisecond
	maxBackoff      = 5 * time.Second
)

// retryableCodes are error codes that go away, also in a body with the status 200, which the SDK's list leaves out. The
// bodies that a checksum refused were spoiled on their way.
var retryableCodes = map[string]struct{}{
	"InternalError": {}, "InternalFailure": {}, "ServiceUnavailable": {}, "OperationAborted": {},
	"ConditionalRequestConflict": {}, "RequestTimeout": {}, "BadDigest": {}, "XAmzContentChecksumMismatch": {},
	"XAmzContentSHA256Mismatch": {}, "IncompleteBody": {},
}

// newRetryer makes the retryer that all operations share. It isn't the SDK's adaptive one: that takes its rate from
// what it has sent so far, so that one SlowDown early in a mount's life holds it to a request a second.
func newRetryer() aws.RetryerV2 {
	return retry.NewStandard(func(o *retry.StandardOptions) {
		o.RateLimiter = ratelimit.None
		o.Backoff = retry.BackoffDelayerFunc(func(attempt int, err error) (time.Duration, error) {
			return backoff(attempt, throttled(err)), nil
		})
		o.Retryables = append([]retry.IsErrorRetryable{
			retry.IsErrorRetryableFunc(neverRetried),
			retry.RetryableErrorCode{Codes: retryableCodes},
		}, o.Retryables...)
	})
}

// backoff is the wait after the n-th failure, from 1: exponential, the upper half of it at random.
func backoff(n int, slow bool) time.Duration {
	d := firstBackoff
	if slow {
		d = throttleBackoff
	}
	d = min(maxBackoff, d<<min(max(n-1, 0), 10))
	return d/2 + rand.N(d/2)
}

func throttled(err error) bool {
	return retry.IsErrorThrottles(retry.DefaultThrottles).IsErrorThrottle(err).Bool() || status(err) == 503
}

// neverRetried knows errors of a connection that a second attempt meets as well.
func neverRetried(err error) aws.Ternary {
	var cert *tls.CertificateVerificationError
	var plain tls.RecordHeaderError
	if errors.As(err, &cert) || errors.As(err, &plain) || errors.Is(err, http.ErrSchemeMismatch) {
		return aws.FalseTernary
	}
	return aws.UnknownTernary
}

// attempts is the retryer of one operation.
type attempts struct {
	aws.RetryerV2
	until    time.Time
	away     *atomic.Int64 // the store's
	failures atomic.Int32
	// decided, where set, is asked after a connection broke, and tells whether the outcome is known without another
	// attempt.
	decided func() bool
}

// IsErrorRetryable implements aws.Retryer.
func (a *attempts) IsErrorRetryable(err error) bool {
	a.failures.Add(1)
	if a.decided != nil && status(err) == 0 && a.decided() {
		return false
	}
	if !time.Now().Before(a.until) {
		a.away.Store(time.Now().UnixNano())
		return false
	}
	return a.RetryerV2.IsErrorRetryable(err)
}

// MaxAttempts implements aws.Retryer: the time decides, not the count.
func (a *attempts) MaxAttempts() int { return 0 }

// option hands the retryer to an operation.
func (a *attempts) option(o *s3.Options) { o.Retryer = a }

// again tells whether the operation was tried more than once, so that an earlier attempt may have had an effect.
func (a *attempts) again() bool { return a.failures.Load() > 1 }

// attempts starts a request of the context's operation, which is given up when that one's patience is over.
func (s *Store) attempts(ctx context.Context) *attempts {
	return &attempts{RetryerV2: s.retryer, until: patience.Until(ctx, s.patience()), away: &s.away}
}

// acquirePart waits until the store has a buffer for a part. If those that have them find the server away meanwhile, that
// counts as waiting for it.
func (s *Store) acquirePart(ctx context.Context) error {
	began := time.Now()
	err := s.parts.Acquire(ctx, 1)
	if err == nil && s.away.Load() > began.UnixNano() {
		patience.Waited(ctx, began)
	}
	return err
}

func (s *Store) retrying(ctx context.Context) func(*s3.Options) { return s.attempts(ctx).option }

// patience is how long an operation is tried.
func (s *Store) patience() time.Duration {
	if s.opening.Load() {
		return s.cfg.OpenTimeout
	}
	return s.cfg.IOTimeout
}

// code is the error code of the server, or "".
func code(err error) string {
	var api smithy.APIError
	if errors.As(err, &api) {
		return api.ErrorCode()
	}
	return ""
}

// status is the HTTP status of the server's answer, or 0.
func status(err error) int {
	var r interface{ HTTPStatusCode() int }
	if errors.As(err, &r) {
		return r.HTTPStatusCode()
	}
	return 0
}
