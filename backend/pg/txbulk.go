package pg

import (
	"fmt"
	"strings"
)

const (
	// bulkFrom is how many writes of a kind are sent as one statement with arrays instead of one by one.
	bulkFrom = 8
	// A statement with arrays has at most so many rows, and about so many bytes.
	bulkRows  = 1000
	bulkBytes = 4 << 20
)

// bulkDeletes are the statements with arrays for those that delete one row.
var bulkDeletes = map[string]string{
	deleteInode: "DELETE FROM inodes t USING unnest($1::BIGINT[]) AS gone(a) WHERE t.ino = gone.a",
	deleteDentry: "DELETE FROM dentries t USING unnest($1::BIGINT[], $2::BYTEA[]) AS gone(a, b) " +
		"WHERE t.parent = gone.a AND t.name = gone.b",
	deleteExtent: "DELETE FROM extents t USING unnest($1::BIGINT[], $2::BIGINT[]) AS gone(a, b) " +
		"WHERE t.ino = gone.a AND t.end_off = gone.b",
	deleteXattr: "DELETE FROM xattrs t USING unnest($1::BIGINT[], $2::BYTEA[]) AS gone(a, b) " +
		"WHERE t.ino = gone.a AND t.name = gone.b",
	deleteBlob: "DELETE FROM blob_refs t USING unnest($1::BYTEA[]) AS gone(a) WHERE t.key = gone.a",
}

// gather makes one statement of many that do the same to one row each. Those follow each other, and each has a key of
// its own.
func gather(list []statement) []statement {
	if len(list) < bulkFrom {
		return list
	}
	var out []statement
	for len(list) > 0 {
		n, size := 1, argBytes(list[0].args)
		for n < len(list) && n < bulkRows && size < bulkBytes && list[n].sql == list[0].sql {
			size += argBytes(list[n].args)
			n++
		}
		if sql := bulkSQL(&list[0]); n >= bulkFrom && sql != "" {
			out = append(out, statement{sql: sql, args: columns(list[:n])})
		} else {
			out = append(out, list[:n]...)
		}
		list = list[n:]
	}
	return out
}

func argBytes(args []any) int {
	n := 0
	for _, a := range args {
		if b, ok := a.([]byte); ok {
			n += len(b)
		}
	}
	return n
}

// bulkSQL is the statement with arrays that does what many of st do, or empty if there is none.
func bulkSQL(st *statement) string {
	if sql, ok := bulkDeletes[st.sql]; ok {
		return sql
	}
	switch st.sql {
	case putInode, putDentry, putExtent, putXattr, putBlob, putOrphan:
	default:
		return ""
	}
	head, rest, _ := strings.Cut(st.sql, " VALUES (")
	_, tail, _ := strings.Cut(rest, ")")
	arrays := make([]string, len(st.args))
	for i, a := range st.args {
		arrays[i] = fmt.Sprintf("$%d::%s[]", i+1, columnType(a))
	}
	return head + " SELECT * FROM unnest(" + strings.Join(arrays, ", ") + ")" + tail
}

func columnType(arg any) string {
	switch arg.(type) {
	case int64:
		return "BIGINT"
	case int32:
		return "INT"
	case bool:
		return "BOOLEAN"
	}
	return "BYTEA"
}

// columns turns the arguments of statements into arrays.
func columns(list []statement) []any {
	cols := make([]any, len(list[0].args))
	for i := range cols {
		switch list[0].args[i].(type) {
		case int64:
			cols[i] = column[int64](list, i)
		case int32:
			cols[i] = column[int32](list, i)
		case bool:
			cols[i] = column[bool](list, i)
		default:
			cols[i] = column[[]byte](list, i)
		}
	}
	return cols
}

func column[T any](list []statement, i int) []T {
	col := make([]T, len(list))
	for j := range list {
		col[j] = list[j].args[i].(T)
	}
	return col
}
