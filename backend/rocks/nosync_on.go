//go:build graviton_nosync

package rocks

// noSync makes Sync do nothing: a build with this tag loses data with the power, which shows that the test that cuts
// the power can tell.
const noSync = true
