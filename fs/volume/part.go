package volume

// part is a part of a stream and the data that it is made of.
type part struct {
	number int
	at     uint64 // offset in the blob
	data   [][]byte
	size   uint64
}

// zeros fills the gaps of parts.
var zeros [64 << 10]byte

// add appends data.
func (j *part) add(p []byte) {
	j.data = append(j.data, p)
	j.size += uint64(len(p))
}

// pad appends zeros up to a size.
func (j *part) pad(size uint64) {
	for j.size < size {
		j.add(zeros[:min(size-j.size, uint64(len(zeros)))])
	}
}

// cutPart gives a part its bytes, as many of them as are loose; gaps between them are filled with zeros, which no extent
// will show. The caller holds mu.
func (n *node) cutPart(s *stream, number int) part {
	s.give(number)
	s.pending.Add(1)
	job := part{number: number, at: uint64(number-1) * s.partSize}
	begin := s.begin(number)
	end := begin + s.partSize
	n.dirty.split(begin)
	n.dirty.split(end)
	for from := begin; ; {
		p := n.dirty.firstLoose(from, end)
		if p == nil {
			return job
		}
		job.pad(p.off - begin)
		n.dirty.give(p, s, job.at+job.size)
		job.add(p.data)
		from = p.end()
	}
}

// give marks a piece as the stream's.
func (o *overlay) give(p *piece, s *stream, at uint64) {
	o.account(p, -1)
	p.stream, p.at = s, at
	o.account(p, 1)
}

// layOut gives all loose data to the stream, for a commit, and returns the parts that are still to be stored. What has a
// place in the file's order gets it; the rest, such as rewrites of what was given away before, follows at the end. The
// caller holds mu.
func (n *node) layOut(s *stream) []part {
	var jobs []part
	top := len(s.given)
	for top < s.limit && n.hasLoose(s, top+1) {
		top++
	}
	for number := 1; number <= top; number++ {
		if s.isGiven(number) {
			continue
		}
		job := n.cutPart(s, number)
		if number < top {
			job.pad(s.partSize)
		}
		jobs = append(jobs, job)
	}
	s.size = uint64(top) * s.partSize
	var last part
	if k := len(jobs); k > 0 && jobs[k-1].number == top {
		last, jobs = jobs[k-1], jobs[:k-1]
		s.size += last.size - s.partSize
	}
	return n.layOutRest(s, jobs, last)
}

// layOutRest is layOut for the loose data without a place. They follow those of the last part, if that is still to be
// stored.
func (n *node) layOutRest(s *stream, jobs []part, last part) []part {
	for {
		p := n.dirty.firstLoose(0, MaxFile)
		if p == nil {
			break
		}
		if last.number != 0 && last.size == s.partSize {
			jobs, last = append(jobs, last), part{}
		}
		if last.number == 0 {
			last = part{number: len(s.given) + 1, at: s.size}
			s.give(last.number)
			s.pending.Add(1)
		}
		if left := s.partSize - last.size; p.length > left {
			n.dirty.split(p.off + left)
			continue
		}
		n.dirty.give(p, s, s.size)
		last.add(p.data)
		s.size += p.length
	}
	if last.number != 0 {
		jobs = append(jobs, last)
	}
	return jobs
}

// hasLoose reports whether a part has any loose data.
func (n *node) hasLoose(s *stream, number int) bool {
	begin := s.begin(number)
	n.dirty.split(begin)
	return n.dirty.firstLoose(begin, begin+s.partSize) != nil
}

// gatherAll gives all loose data to a blob that is put at once, in the file's order. The caller holds mu.
func (o *overlay) gatherAll() (job part) {
	s := new(stream)
	for {
		p := o.firstLoose(0, MaxFile)
		if p == nil {
			return job
		}
		o.give(p, s, job.size)
		job.add(p.data)
	}
}

// firstLoose returns the first piece that begins in a range and that no stream has.
func (o *overlay) firstLoose(from, to uint64) *piece {
	var hit *piece
	o.from(from, func(p *piece) bool {
		if p.off >= to {
			return false
		}
		if p.stream == nil && p.off >= from {
			hit = p
			return false
		}
		return true
	})
	return hit
}

// stored drops the bytes of the pieces that the stream has between two offsets of its blob, joins those that follow
// each other, and returns how many bytes were freed.
func (o *overlay) stored(s *stream, from, to uint64) (freed uint64) {
	var hit []*piece
	o.tree.Scan(func(_ uint64, p *piece) bool {
		if p.stream == s && p.at >= from && p.at < to && p.data != nil {
			hit = append(hit, p)
		}
		return true
	})
	for _, p := range hit {
		o.account(p, -1)
		p.forget()
		o.account(p, 1)
		freed += p.length
		o.joinNext(o.joinPrevious(p))
	}
	return freed
}

// joinPrevious joins a stored piece to the one before it, if they follow each other in the blob too, and returns what
// the piece is part of then.
func (o *overlay) joinPrevious(p *piece) *piece {
	if p.off == 0 {
		return p
	}
	whole := p
	o.tree.Descend(p.off-1, func(_ uint64, q *piece) bool {
		if q.goesOn(p) {
			o.join(q, p)
			whole = q
		}
		return false
	})
	return whole
}

// joinNext joins the piece behind a stored one to it.
func (o *overlay) joinNext(p *piece) {
	if next, ok := o.tree.Get(p.end()); ok && p.goesOn(next) {
		o.join(p, next)
	}
}

// goesOn reports whether p and q are stored, by one commit, and q follows p in the file and in the blob.
func (p *piece) goesOn(q *piece) bool {
	return p.end() == q.off && p.stream == q.stream && p.stream != nil && p.data == nil && q.data == nil &&
		p.at+p.length == q.at && p.gen == q.gen
}

func (o *overlay) join(p, q *piece) {
	o.remove(q)
	o.account(p, -1)
	p.length += q.length
	o.account(p, 1)
}
