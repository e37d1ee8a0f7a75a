package rocks

import "github.com/linxGnu/grocksdb"

// batchPool keeps batches for reuse: an engine's batch grows by copying, and keeps its memory when cleared.
type batchPool chan *grocksdb.WriteBatch

func (p batchPool) take() *grocksdb.WriteBatch {
	select {
	case wb := <-p:
		return wb
	default:
		return grocksdb.NewWriteBatch()
	}
}

// give takes a batch back, unless it has grown beyond what a Put needs.
func (p batchPool) give(wb *grocksdb.WriteBatch) {
	if len(wb.Data()) <= partSize+partSize/16 {
		wb.Clear()
		select {
		case p <- wb:
			return
		default:
		}
	}
	wb.Destroy()
}

// close frees what is kept; nothing is taken any more.
func (p batchPool) close() {
	for {
		select {
		case wb := <-p:
			wb.Destroy()
		default:
			return
		}
	}
}
