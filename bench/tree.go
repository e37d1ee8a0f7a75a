package bench

import (
	"bytes"
	"fmt"
	"math"
	"math/rand/v2"
	"os"
	"path/filepath"
)

// makeTree writes a tree of files like a program's source: directories of some twenty files, sizes around 6 KiB with a
// long tail, lines of words. The same number of files gives the same tree.
func makeTree(root string, files int) error {
	r := rand.New(rand.NewPCG(5, uint64(files)))
	words := makeWords(r, 4000)
	dir := root
	for i := range files {
		if i%20 == 0 {
			dir = filepath.Join(root, fmt.Sprintf("pkg%02d", i/400), fmt.Sprintf("part%03d", i/20))
			if err := os.MkdirAll(dir, 0o755); err != nil {
				return err
			}
		}
		size := int(math.Exp(r.NormFloat64()*1.1 + math.Log(6<<10)))
		text := makeText(r, words, min(size, mega))
		if err := os.WriteFile(filepath.Join(dir, fmt.Sprintf("file%05d.go", i)), text, 0o644); err != nil {
			return err
		}
	}
	return nil
}

func makeWords(r *rand.Rand, n int) [][]byte {
	list := make([][]byte, n)
	for i := range list {
		w := make([]byte, 2+r.IntN(9))
		for j := range w {
			w[j] = byte('a' + r.IntN(26))
		}
		list[i] = w
	}
	return list
}

func makeText(r *rand.Rand, words [][]byte, size int) []byte {
	var b bytes.Buffer
	for b.Len() < size {
		// The square makes some words common and most rare, as in a text.
		f := r.Float64()
		b.Write(words[int(f*f*float64(len(words)))])
		if r.IntN(9) == 0 {
			b.WriteString("\n\t")
		} else {
			b.WriteByte(' ')
		}
	}
	return b.Bytes()[:size]
}
