package s3

import (
	"context"
	"errors"
	"fmt"
	"io"
	"iter"
	"net/http"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/s3/types"
)

// Bounds of what a server may answer, whatever it says of itself. The SDK reads an answer into memory, but for an object's
// bytes.
const (
	maxErrorBody = 64 << 10 // bytes; an error document has a few hundred
	maxDocument  = 16 << 20 // bytes of any other; a page of 1,000 names is the longest
	maxHeader    = 1 << 20  // bytes
	maxMessage   = 1 << 10  // bytes of an error's message
	maxEmpty     = 1000     // pages of a listing in a row that list nothing
	maxListed    = 1 << 20  // names that are gathered in memory
)

var errTooLong = errors.New("the server's answer is longer than any can be")

// boundedBody ends an answer's body with an error when it is too long.
type boundedBody struct {
	io.ReadCloser
	left int64
}

// Read implements io.Reader.
func (b *boundedBody) Read(p []byte) (int, error) {
	if b.left <= 0 {
		return 0, errTooLong
	}
	n, err := b.ReadCloser.Read(p[:min(int64(len(p)), b.left)])
	b.left -= int64(n)
	return n, err
}

// bound bounds the body of an operation's answer.
func bound(op string, resp *http.Response) {
	switch {
	case resp.Body == nil:
	case resp.StatusCode >= http.StatusMultipleChoices:
		resp.Body = &boundedBody{resp.Body, maxErrorBody}
	case op != "GetObject":
		resp.Body = &boundedBody{resp.Body, maxDocument}
	}
}

// progress sees to it that a listing gets on: each page ends behind the one before it, in the order in which S3 lists.
type progress struct {
	last  string
	empty int
}

var errListing = errors.New("the server lists without an end")

// page notes the last name of a page, "" if that is empty.
func (p *progress) page(last string) error {
	switch {
	case last != "" && last <= p.last:
		return fmt.Errorf("%w: %q comes after %q", errListing, last, p.last)
	case last != "":
		p.last, p.empty = last, 0
	default:
		if p.empty++; p.empty > maxEmpty {
			return fmt.Errorf("%w: %d pages in a row are empty", errListing, p.empty)
		}
	}
	return nil
}

// objects lists the objects whose names begin with prefix, by name. After an error the sequence ends.
func (s *Store) objects(ctx context.Context, prefix string) iter.Seq2[types.Object, error] {
	return func(yield func(types.Object, error) bool) {
		pages := s3.NewListObjectsV2Paginator(s.client, &s3.ListObjectsV2Input{Bucket: &s.cfg.Bucket, Prefix: &prefix})
		var p progress
		for pages.HasMorePages() {
			page, err := pages.NextPage(ctx, s.retrying(ctx))
			if err == nil {
				last := ""
				if n := len(page.Contents); n > 0 {
					last = aws.ToString(page.Contents[n-1].Key)
				}
				err = p.page(last)
			}
			if err != nil {
				yield(types.Object{}, err)
				return
			}
			for _, o := range page.Contents {
				if !yield(o, nil) {
					return
				}
			}
		}
	}
}
