package s3

import (
	"errors"
	"io"
	"maps"
	"net/http"
	"slices"
	"sync"
	"time"

	awsmiddleware "github.com/aws/aws-sdk-go-v2/aws/middleware"
	"github.com/aws/aws-sdk-go-v2/service/s3"

	"github.com/graviton-fs/graviton/backend/patience"
)

// Meter counts the requests of a store, attempts that failed included. All methods may be called concurrently.
type Meter struct {
	mu  sync.Mutex
	now Metrics
}

// Metrics is what a Meter counted since the store was opened.
type Metrics struct {
	Requests map[string]int64 // by operation, for example "UploadPart"
	Sent     int64            // bytes of the requests' bodies
	Received int64            // bytes of the answers' bodies
	Since    time.Time
}

func newMeter() *Meter {
	return &Meter{now: Metrics{Requests: map[string]int64{}, Since: time.Now()}}
}

// Metrics returns the counts so far.
func (m *Meter) Metrics() Metrics {
	m.mu.Lock()
	defer m.mu.Unlock()
	n := m.now
	n.Requests = maps.Clone(n.Requests)
	return n
}

func (m *Meter) sent(op string, bytes int64) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.now.Requests[op]++
	m.now.Sent += max(bytes, 0)
}

func (m *Meter) received(bytes int64) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.now.Received += bytes
}

// Sub returns what came between an earlier Metrics of the same Meter and this one.
func (m Metrics) Sub(earlier Metrics) Metrics {
	d := Metrics{Requests: map[string]int64{}, Sent: m.Sent - earlier.Sent, Received: m.Received - earlier.Received, Since: m.Since}
	for op, n := range m.Requests {
		if n -= earlier.Requests[op]; n != 0 {
			d.Requests[op] = n
		}
	}
	return d
}

// Prices is a price list, in US dollars.
type Prices struct {
	Write    float64 // 1,000 requests that write or list: PUT, COPY, POST, LIST
	Read     float64 // 1,000 of the others that cost: GET, HEAD, SELECT
	Received float64 // a GiB of answers; nothing between S3 and a machine in the same region
	Stored   float64 // a GiB stored for a month
}

// free operations cost nothing.
var free = []string{"DeleteObject", "DeleteObjects", "AbortMultipartUpload"}

// reads are the operations at the lower price.
var reads = []string{"GetObject", "HeadObject", "HeadBucket", "GetBucketLifecycleConfiguration"}

// Cost estimates what the requests and transfers cost, in US dollars, without storage.
func (m Metrics) Cost(p Prices) float64 {
	var cost float64
	for op, n := range m.Requests {
		switch {
		case slices.Contains(free, op):
		case slices.Contains(reads, op):
			cost += float64(n) / 1000 * p.Read
		default:
			cost += float64(n) / 1000 * p.Write
		}
	}
	return cost + float64(m.Received)/(1<<30)*p.Received
}

// month is the average one.
const month = time.Duration(365.25 / 12 * 24 * float64(time.Hour))

// Monthly extrapolates Cost to a month, with what stored bytes cost in it.
func (m Metrics) Monthly(p Prices, now time.Time, stored int64) float64 {
	cost := float64(stored) / (1 << 30) * p.Stored
	if d := now.Sub(m.Since); d > 0 {
		cost += m.Cost(p) * float64(month) / float64(d)
	}
	return cost
}

// errAway is the end of an operation that has waited for the server as long as it may.
var errAway = errors.New("the server doesn't answer")

// meteredClient counts what goes through an HTTP client, each attempt of its own, and tells the operations that wait of
// answers.
type meteredClient struct {
	inner s3.HTTPClient
	meter *Meter
	limit time.Duration // how long an operation waits for answers
}

// Do implements s3.HTTPClient.
func (c *meteredClient) Do(r *http.Request) (*http.Response, error) {
	if time.Until(patience.Until(r.Context(), c.limit)) <= 0 {
		return nil, errAway
	}
	op := awsmiddleware.GetOperationName(r.Context())
	c.meter.sent(op, r.ContentLength)
	resp, err := c.inner.Do(r)
	if err != nil {
		return resp, err
	}
	bound(op, resp)
	if resp.StatusCode < http.StatusInternalServerError && resp.StatusCode != http.StatusTooManyRequests {
		patience.Done(r.Context())
	}
	if resp.Body != nil {
		resp.Body = &meteredBody{resp.Body, c.meter}
	}
	return resp, nil
}

type meteredBody struct {
	io.ReadCloser
	meter *Meter
}

func (b *meteredBody) Read(p []byte) (int, error) {
	n, err := b.ReadCloser.Read(p)
	b.meter.received(int64(n))
	return n, err
}
