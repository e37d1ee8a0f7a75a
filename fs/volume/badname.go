package volume

import (
	"context"
	"strconv"
	"strings"

	"github.com/graviton-fs/graviton/backend/namespace"
)

// A name that no system call can say, such as one with a slash, may be in a damaged volume. The kernel would refuse to list
// the whole directory, so such an entry is shown under a name of ours, made of its cookie, by which it can be looked up,
// renamed and removed.
const badNamePrefix = "graviton-malformed-name-"

// standIn is the name under which an entry is listed.
func standIn(ent *namespace.Dentry) string {
	if namespace.CheckName(ent.Name) == nil {
		return ent.Name
	}
	return badNamePrefix + strconv.FormatUint(ent.Cookie, 10)
}

// storedName is the name that a directory has for the entry that is listed under a name.
func (v *Volume) storedName(ctx context.Context, dir namespace.Ino, name string) string {
	number, ok := strings.CutPrefix(name, badNamePrefix)
	if !ok {
		return name
	}
	cookie, err := strconv.ParseUint(number, 10, 64)
	if err != nil {
		return name
	}
	stored := name
	_ = v.ns.View(ctx, namespace.Want{}, func(tx namespace.Tx) error { // after an error the name itself is looked for
		ent, err := namespace.Get[*namespace.Dentry](tx, namespace.CookieKey{Parent: dir, Cookie: cookie})
		if err == nil && standIn(ent) == name {
			stored = ent.Name
		}
		return nil
	})
	return stored
}
