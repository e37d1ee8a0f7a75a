package cli

import (
	"context"
	"path/filepath"

	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/rogpeppe/go-internal/testscript"

	"github.com/graviton-fs/graviton/backend/s3/s3test"
)

// bucket NAME: starts an S3 server with that bucket, and sets what the configuration reads from the environment:
// $S3_ENDPOINT, $AWS_ACCESS_KEY_ID and $AWS_SECRET_ACCESS_KEY; and $OBJECTS, the folder where the bucket's objects are.
func bucket(ts *testscript.TestScript, neg bool, args []string) {
	need(ts, args, 1, "bucket NAME")
	positive(ts, neg)
	ctx := context.Background()
	server, err := s3test.StartAt(ctx, ts.MkAbs("s3-server"))
	ts.Check(err)
	ts.Defer(server.Kill)
	_, err = server.Client().CreateBucket(ctx, &s3.CreateBucketInput{Bucket: &args[0]})
	ts.Check(err)
	ts.Setenv("S3_ENDPOINT", server.Endpoint())
	ts.Setenv("AWS_ACCESS_KEY_ID", server.AccessKeyID)
	ts.Setenv("AWS_SECRET_ACCESS_KEY", server.SecretAccessKey)
	ts.Setenv("OBJECTS", filepath.Dir(server.Object(args[0], "x")))
}
