//go:build !graviton_nosync

package rocks

// noSync makes Sync do nothing. See nosync_on.go.
const noSync = false
