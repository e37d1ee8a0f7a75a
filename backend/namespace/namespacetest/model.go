package namespacetest

import (
	"cmp"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/graviton-fs/graviton/backend/namespace"
)

// model is a directory as maps have it.
type model map[string]namespace.Dentry

func (m model) sorted(by func(a, b namespace.Dentry) int) []*namespace.Dentry {
	var all []*namespace.Dentry
	for _, d := range m {
		all = append(all, &d)
	}
	slices.SortFunc(all, func(a, b *namespace.Dentry) int { return by(*a, *b) })
	return all
}

func byName(a, b namespace.Dentry) int   { return cmp.Compare(a.Name, b.Name) }
func byCookie(a, b namespace.Dentry) int { return cmp.Compare(a.Cookie, b.Cookie) }

// testModel runs random transactions on one directory, some of which fail, and compares with maps: within each
// transaction, and after it.
func testModel(t *testing.T, s namespace.Store) {
	r := rand.New(rand.NewPCG(5, 6))
	have := model{}
	cookie := uint64(0)
	rollback := errors.New("rollback")
	compare := func(tx namespace.Tx, want model) {
		t.Helper()
		equalAll(t, scan[*namespace.Dentry](t, tx, namespace.DentryKey{Parent: 30}, 0), want.sorted(byName))
		equalAll(t, scan[*namespace.Dentry](t, tx, namespace.CookieKey{Parent: 30}, 0), want.sorted(byCookie))
	}
	for range 150 {
		var after model
		fail := r.IntN(4) == 0
		seed, first := r.Uint64(), cookie
		err := s.Update(ctx, namespace.OpID{}, namespace.Want{}, func(tx namespace.Tx) error {
			r := rand.New(rand.NewPCG(seed, 0)) // the same again if fn runs again
			cookie, after = first, model{}
			for name, d := range have {
				after[name] = d
			}
			for range r.IntN(12) {
				name := fmt.Sprintf("n%02d", r.IntN(30))
				key := namespace.DentryKey{Parent: 30, Name: name}
				switch r.IntN(4) {
				case 0:
					tx.Delete(key)
					delete(after, name)
				case 1:
					got, err := tx.Get(key)
					if want, ok := after[name]; ok {
						check(t, err)
						equal(t, got, &want)
					} else {
						fails(t, err, namespace.ErrNotFound)
					}
				case 2:
					compare(tx, after)
				default:
					cookie++
					d := namespace.Dentry{Parent: 30, Name: name, Ino: namespace.Ino(r.Uint32()), Cookie: cookie}
					tx.Put(&d)
					after[name] = d
				}
			}
			compare(tx, after)
			if fail {
				return rollback
			}
			return nil
		})
		if fail != errors.Is(err, rollback) {
			t.Fatalf("Update: %v", err)
		}
		if !fail {
			have = after
		}
		view(t, s, func(tx namespace.Tx) error {
			compare(tx, have)
			return nil
		})
		if t.Failed() {
			return
		}
	}
}
