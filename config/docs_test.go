package config

import (
	"fmt"
	"os"
	"strings"
	"testing"
)

// keyTable is the documentation's table of keys.
func keyTable() string {
	var b strings.Builder
	b.WriteString("| key | default | meaning |\n|---|---|---|\n")
	for i := range keys {
		fmt.Fprintf(&b, "| `%s` | `%s` | %s |\n", keys[i].path, keys[i].def, keys[i].doc)
	}
	return b.String()
}

func TestDocumentation(t *testing.T) {
	const path, begin, end = "../docs/configuration.md", "<!-- keys -->\n", "<!-- /keys -->\n"
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	before, rest, ok1 := strings.Cut(string(text), begin)
	table, after, ok2 := strings.Cut(rest, end)
	if !ok1 || !ok2 {
		t.Fatalf("%s lacks its markers", path)
	}
	if table == keyTable() {
		return
	}
	if !*update {
		t.Fatalf("%s doesn't list the keys as they are; run go test ./config -update", path)
	}
	if err := os.WriteFile(path, []byte(before+begin+keyTable()+end+after), 0o600); err != nil {
		t.Fatal(err)
	}
}

// The table of keys itself: names are unique, so are variables, and every field of Config is reached by one key.
func TestKeys(t *testing.T) {
	seen := map[string]bool{"GRAVITON_CONFIG": true, "GRAVITON_PG_PASSWORD": true}
	c := new(Config)
	fields := map[any]string{}
	for i := range keys {
		k := &keys[i]
		if seen[k.name()] || seen[k.env()] || !keyText.MatchString(k.name()) || k.doc == "" {
			t.Errorf("%s, %s", k.name(), k.env())
		}
		seen[k.name()], seen[k.env()] = true, true
		if other := fields[k.field(c)]; other != "" {
			t.Errorf("%s and %s set the same field", k.path, other)
		}
		fields[k.field(c)] = k.path
	}
	want(t, "a variable", keyNamed("graviton.rocksdb.bloom-filter-bits-per-key").env(), "GRAVITON_ROCKSDB_BLOOM_FILTER_BITS_PER_KEY")
}
