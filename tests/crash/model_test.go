package crash

import (
	"maps"
	"testing"
)

// three is a history of a file written and closed, renamed over another, and written again
// without a close. The middle call was the last that a sync covers.
func three() *history {
	s := newState()
	s.put("a", file{kind: 'f', mode: 0o644, content: []byte("old")})
	s.put("b", file{kind: 'f', mode: 0o644, content: []byte("other")})
	h := &history{records: []record{{what: "start", state: s}}}
	add := func(at int64, what string, change func(state)) {
		h.records = append(h.records, record{at: at, what: what, state: h.last().apply(change)})
	}
	add(1, "rename a b", func(s state) { s.rename("a", "b") })
	add(2, "pwrite b", func(s state) { s.update("b", func(f *file) { f.maybe = []write{{1, []byte("XYZ")}} }) })
	h.pending = []record{{what: "chmod b", state: h.last().apply(func(s state) { s.update("b", func(f *file) { f.mode = 0o600 }) })}}
	return h
}

func TestJudge(t *testing.T) {
	b := func(mode uint32, content string) map[string]found {
		return map[string]found{"b": {kind: 'f', mode: mode, content: []byte(content), ino: 5}}
	}
	with := func(tree map[string]found, name string, f found) map[string]found {
		tree = maps.Clone(tree)
		tree[name] = f
		return tree
	}
	before := with(b(0o644, "other"), "a", found{kind: 'f', mode: 0o644, content: []byte("old"), ino: 4})
	for _, tc := range []struct {
		name    string
		tree    map[string]found
		durable int64
		ok      bool
	}{
		{"as acknowledged", b(0o644, "old"), 2, true},
		{"unconfirmed write is there", b(0o644, "oXYZ"), 2, true},
		{"half of an unconfirmed write is there", b(0o644, "oXd"), 2, true},
		{"the file grew and its data didn't come", b(0o644, "old\x00"), 2, true},
		{"the call under way happened", b(0o600, "old"), 2, true},
		{"rename undone although acknowledged", before, 2, false},
		{"rename undone, nothing synced", before, 0, true},
		{"neither name is there", map[string]found{}, 2, false},
		{"both names are there", with(b(0o644, "old"), "a", found{kind: 'f', mode: 0o644, content: []byte("old"), ino: 4}), 2, false},
		{"bytes that were never written", b(0o644, "olZ"), 2, false},
		{"data cut off", b(0o644, "ol"), 2, false},
		{"longer than any write", b(0o644, "oXYZ\x00"), 2, false},
		{"a mode that nobody set", b(0o666, "old"), 2, false},
		{"a name that nobody made", with(b(0o644, "old"), "c", found{kind: 'd', mode: 0o755, ino: 9}), 2, false},
		{"another kind", map[string]found{"b": {kind: 'l', content: []byte("old"), ino: 5}}, 2, false},
	} {
		if why := three().judge(tc.tree, tc.durable); (why == "") != tc.ok {
			t.Errorf("%s: judged %q", tc.name, why)
		}
	}
}

func TestFreshFileMayBeAbsent(t *testing.T) {
	s := newState()
	s.put("f", file{kind: 'f', mode: 0o644, fresh: true})
	if why := s.explains(nil); why != "" {
		t.Errorf("created but not closed: %s", why)
	}
	s.update("f", (*file).confirm)
	if s.explains(nil) == "" {
		t.Error("created, closed and absent is accepted")
	}
}

func TestHardLinks(t *testing.T) {
	s := newState()
	s.put("f", file{kind: 'f', mode: 0o644})
	s.names["g"] = s.names["f"]
	f, g := found{kind: 'f', mode: 0o644, ino: 1}, found{kind: 'f', mode: 0o644, ino: 2}
	if s.explains(map[string]found{"f": f, "g": g}) == "" {
		t.Error("two files instead of two names are accepted")
	}
	if back := adopt(map[string]found{"f": f, "g": f}); back.names["f"] != back.names["g"] {
		t.Error("two names of one inode became two files")
	}
	s.rename("f", "g")
	if len(s.names) != 2 {
		t.Error("rename between two names of one inode must do nothing")
	}
}

// TestJudgeLate has the server stop while chmod is under way, and the daemon live on.
func TestJudgeLate(t *testing.T) {
	b := func(mode uint32, content string) map[string]found {
		return map[string]found{"b": {kind: 'f', mode: mode, content: []byte(content), ino: 5}}
	}
	undone := func(mode uint32, content string) map[string]found {
		return map[string]found{
			"a": {kind: 'f', mode: mode, content: []byte(content), ino: 4}, "b": {kind: 'f', mode: 0o644, content: []byte("other"), ino: 5},
		}
	}
	for _, tc := range []struct {
		name    string
		tree    map[string]found
		durable int64
		ok      bool
	}{
		{"the call happened", b(0o600, "old"), 2, true},
		{"the call failed", b(0o644, "old"), 2, true},
		{"rename lost, then the call on the inode", undone(0o600, "old"), 0, true},
		{"rename lost, then what was written before", undone(0o644, "oXYZ"), 0, true},
		{"rename lost although synced", undone(0o600, "old"), 1, false},
		{"rename lost, and data that nobody wrote", undone(0o644, "oQ"), 0, false},
		{"all lost", map[string]found{}, 0, false},
	} {
		h := three()
		h.pending = nil
		h.late = &late{what: "chmod b", change: func(s state) { s.update("b", func(f *file) { f.mode = 0o600 }) }}
		if why := h.judge(tc.tree, tc.durable); (why == "") != tc.ok {
			t.Errorf("%s: judged %q", tc.name, why)
		}
	}
}
