package backup

import "testing"

// FuzzName reads anything as the name of a dump in a bucket: what is one has the name that it would be given.
func FuzzName(f *testing.F) {
	f.Add("names-000000000001-20260101T000000000Z-0123456789abcdef.dump")
	f.Add(prefix + "000000000001-20260101T000000000Z-0123-45.dump")
	f.Add(prefix + "999999999999-20261332T256199999Z--.dump")
	f.Add("")
	f.Fuzz(func(t *testing.T, name string) {
		d, ok := parse(name)
		if ok && (d.Name != name || d.name() != name) {
			t.Errorf("%q is %+v, which is %q", name, d, d.name())
		}
	})
}
