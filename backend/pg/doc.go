// Package pg keeps both ports, blob.Store and namespace.Store, in one PostgreSQL database.
//
// Blobs are rows of chunks (blob_data) or large objects; names, inodes and extents are rows of tables of their own. All
// goes through the server's write-ahead log, and commits don't wait for it to be on disk (synchronous_commit = off in
// every session): what was committed survives a kill of this process, and a record that the namespace's Sync commits
// synchronously makes all before it survive a crash of the server too, blobs included, because the log is in order.
package pg
