package volume

// Code names a broken invariant of the volume.
type Code string

// What fsck looks for.
const (
	CodeNoVolume     Code = "volume-record-missing"
	CodeNoRoot       Code = "root-missing"
	CodeDangling     Code = "dentry-without-inode"
	CodeNoParent     Code = "dentry-without-directory"
	CodeType         Code = "dentry-of-wrong-type"
	CodeUnreachable  Code = "inode-without-name"
	CodeNlink        Code = "wrong-link-count"
	CodeParent       Code = "wrong-parent"
	CodeCookie       Code = "cookie-index-differs"
	CodeLostExtent   Code = "extent-without-inode"
	CodeOverlap      Code = "extents-overlap"
	CodeExtent       Code = "malformed-extent"
	CodeNoBlob       Code = "blob-missing"
	CodeShortBlob    Code = "blob-too-short"
	CodeBadBlob      Code = "blob-unreadable"
	CodeNoBlobRecord Code = "blob-record-missing"
	CodeRefs         Code = "wrong-reference-count"
	CodeLostXattr    Code = "xattr-without-inode"
	CodeFlags        Code = "wrong-inode-flags"
	CodeLostOrphan   Code = "orphan-without-inode"
	CodeBytes        Code = "wrong-byte-count"
	CodeUsage        Code = "wrong-usage"
	CodeIno          Code = "inode-number-not-allocated"
	CodeDamaged      Code = "damaged-record"
	CodeName         Code = "malformed-name"
	CodeCycle        Code = "directory-cycle"
)

// Finding is one broken invariant.
type Finding struct {
	Code   Code   `json:"code"`
	Path   string `json:"path"`
	Detail string `json:"detail"`
}

// Checked counts what fsck looked at.
type Checked struct {
	Inodes  int `json:"inodes"`
	Dentrys int `json:"dentries"`
	Extents int `json:"extents"`
	Blobs   int `json:"blobs"`
	Orphans int `json:"orphans"`
}
