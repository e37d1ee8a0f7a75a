// Package s3 is the blob port on a bucket of Amazon S3 or of a server that speaks its protocol.
//
// A blob is one object, its name the key prefix and the key in hexadecimal, its content the blob's raw bytes. Beside
// the prefix, in meta/, are the marker that says whose the bucket is, and the lease that keeps a second writer out.
//
// Writes are conditional (If-None-Match), so that a key is written once however many try. Each carries a random number
// in the object's metadata: when an answer was lost and the second attempt is told that the object exists, or that the
// upload is gone, that number tells whether it was the first attempt that made it.
//
// Retries are the SDK's, by time and not by count: an operation goes on until Config.IOTimeout has passed.
package s3
