package acl

import (
	"errors"
	"reflect"
	"testing"
)

// plain says no more than mode 0754.
var plain = List{{UserObj, 7, NoID}, {GroupObj, 5, NoID}, {Other, 4, NoID}}

// named has a user and a group beside them.
var named = List{
	{UserObj, 6, NoID}, {User, 7, 1000}, {GroupObj, 5, NoID}, {Group, 2, 100}, {Mask, 4, NoID}, {Other, 0, NoID},
}

func TestParse(t *testing.T) {
	for _, l := range []List{plain, named, nil} {
		got, err := Parse(l.Bytes())
		if err != nil || !reflect.DeepEqual(got, l) {
			t.Errorf("%v became %v, %v", l, got, err)
		}
	}
	for name, l := range map[string]List{
		"no mask":     {{UserObj, 7, NoID}, {User, 7, 5}, {GroupObj, 5, NoID}, {Other, 4, NoID}},
		"no other":    {{UserObj, 7, NoID}, {GroupObj, 5, NoID}},
		"order":       {{GroupObj, 5, NoID}, {UserObj, 7, NoID}, {Other, 4, NoID}},
		"permissions": {{UserObj, 9, NoID}, {GroupObj, 5, NoID}, {Other, 4, NoID}},
		"a tag":       {{UserObj, 7, NoID}, {GroupObj, 5, NoID}, {Other, 4, NoID}, {0x40, 1, NoID}},
		"twice":       {{UserObj, 7, NoID}, {UserObj, 7, NoID}, {GroupObj, 5, NoID}, {Other, 4, NoID}},
		"no id":       {{UserObj, 7, NoID}, {User, 7, NoID}, {GroupObj, 5, NoID}, {Mask, 7, NoID}, {Other, 4, NoID}},
	} {
		if got, err := Parse(l.Bytes()); !errors.Is(err, ErrInvalid) {
			t.Errorf("%s: %v, %v", name, got, err)
		}
	}
	value := plain.Bytes()
	for name, b := range map[string][]byte{
		"cut off": value[:len(value)-1], "short": value[:3], "version": append([]byte{1}, value[1:]...),
	} {
		if got, err := Parse(b); !errors.Is(err, ErrInvalid) {
			t.Errorf("%s: %v, %v", name, got, err)
		}
	}
}

func TestMode(t *testing.T) {
	for _, c := range []struct {
		list     List
		perm     uint32
		extended bool
	}{{plain, 0o754, false}, {named, 0o640, true}} {
		if perm, extended := c.list.Mode(); perm != c.perm || extended != c.extended {
			t.Errorf("%v is mode %o, %v", c.list, perm, extended)
		}
	}
}

func TestChmod(t *testing.T) {
	got := named.Chmod(0o4713)
	want := List{{UserObj, 7, NoID}, {User, 7, 1000}, {GroupObj, 5, NoID}, {Group, 2, 100}, {Mask, 1, NoID}, {Other, 3, NoID}}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("%v", got)
	}
	if perm, _ := plain.Chmod(0o123).Mode(); perm != 0o123 {
		t.Errorf("mode %o", perm)
	}
	if named[4].Perm != 4 {
		t.Error("the list itself was changed")
	}
}

func TestInherit(t *testing.T) {
	got := named.Inherit(0o666)
	want := List{{UserObj, 6, NoID}, {User, 7, 1000}, {GroupObj, 5, NoID}, {Group, 2, 100}, {Mask, 4, NoID}, {Other, 0, NoID}}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("%v", got)
	}
	if perm, _ := plain.Inherit(0o660).Mode(); perm != 0o640 {
		t.Errorf("mode %o", perm)
	}
}

// FuzzParse wants what is accepted to be encoded to the same list.
func FuzzParse(f *testing.F) {
	f.Add([]byte{})
	f.Add(plain.Bytes())
	f.Add(named.Bytes())
	f.Fuzz(func(t *testing.T, b []byte) {
		l, err := Parse(b)
		if err != nil {
			return
		}
		again, err := Parse(l.Bytes())
		if err != nil || !reflect.DeepEqual(l, again) {
			t.Fatalf("%x is %v and then %v, %v", b, l, again, err)
		}
		for _, m := range []List{l.Chmod(0o421), l.Inherit(0o421)} {
			if len(l) > 0 && len(m) != len(l) {
				t.Fatalf("%v became %v", l, m)
			}
		}
	})
}
