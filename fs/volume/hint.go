package volume

import (
	"strconv"

	lru "github.com/hashicorp/golang-lru/v2"

	"github.com/graviton-fs/graviton/backend/blob"
	"github.com/graviton-fs/graviton/backend/namespace"
)

// The attributes that Config.Hints gives to blobs.
const (
	hintInode = "inode"
	hintName  = "name"
)

// hintNames are the names by which inodes were reached last: files are opened and written by their numbers, and the records
// have no way from a number to its names. Nil, where there are no hints, remembers nothing.
type hintNames struct {
	*lru.Cache[namespace.Ino, string]
}

// hintsKept is for how many inodes: those that are opened soon after they were found.
const hintsKept = 16 << 10

func newHintNames() (*hintNames, error) {
	names, err := lru.New[namespace.Ino, string](hintsKept)
	return &hintNames{names}, err
}

// note remembers a name.
func (h *hintNames) note(rec *namespace.Inode, name string) {
	if h != nil && rec != nil && rec.Mode&ModeType == ModeFile {
		h.Add(rec.Ino, name)
	}
}

// hints describes a node for a person who finds only the blob.
func (n *node) hints() blob.Attributes {
	if n.v.names == nil {
		return nil
	}
	attr := blob.Attributes{hintInode: strconv.FormatUint(uint64(n.ino), 10)}
	if name, ok := n.v.names.Get(n.ino); ok {
		attr[hintName] = name
	}
	return attr
}
