package volume

import (
	"context"
	"log/slog"
	"time"

	"github.com/google/uuid"

	"github.com/graviton-fs/graviton/backend/namespace"
)

// Config sets up a Volume.
type Config struct {
	ReadOnly  bool
	MustExist bool // no volume is made in an empty namespace
	Shared    bool // other daemons may change the volume at the same time
	Atime     Atime
	InlineMax int           // bytes up to which data goes into the namespace instead of a blob
	StageMax  int           // as InlineMax for what one commit makes durable, until it is packed into blobs; for stores that are far away
	PartSize  int64         // bytes of the parts of the store's uploads, if they are larger than 4 MiB
	Parts     int           // parts of one file that are on their way at a time; 0 means 2
	Dirty     int64         // bytes of written data held in memory before writers wait
	GCGrace   time.Duration // how long an unreferenced blob is kept
	GCEvery   time.Duration // how often gc looks; 0 turns the background gc off
	// CompactEvery is how often all files are looked through for those that are worth compacting; 0 turns compaction in the
	// background off.
	CompactEvery time.Duration
	// UploadIdle is how long nothing must have come to an open upload of a session that ended before gc aborts it; 0 means
	// at once.
	UploadIdle time.Duration
	Idle       time.Duration // written data of a file that is left alone this long is committed; 0 means 5 s
	Lease      time.Duration // a daemon that wasn't heard of this long is taken for dead; 0 means 15 s
	CloseTime  time.Duration // how long Close does what others could do as well; 0 means 30 s
	Log        *slog.Logger
	Now        func() namespace.Time // nil means the kernel's coarse clock
	RootMode   uint32                // permission bits of a new volume's root; 0 means 0755
	RootUID    uint32
	RootGID    uint32

	// ID of a new volume; random if zero.
	ID uuid.UUID
	// Writable, if set, is asked before each change: an error refuses it. It may wait.
	Writable func(ctx context.Context) error
	// Settled, if set, says since when the names are safe in another place than the store. Blobs that lost their last
	// reference after it are kept, whatever GCGrace and full disks say.
	Settled func() namespace.Time
	// Settle, if set, makes the names safe there now. Collect with full calls it instead of asking Settled.
	Settle func(ctx context.Context) error
	// Adopt has Open make files in lost+found of all blobs that no record names.
	Adopt bool
	// Archived says that new blobs can't be read at once, so that Compact is refused.
	Archived bool
	// Hints stores inode and name with each blob, for a person who has only the blobs.
	Hints bool
}
