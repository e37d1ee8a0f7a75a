package config

import (
	"cmp"
	"errors"
	"net"
	"net/url"
	"regexp"
	"slices"
	"strconv"
	"strings"
)

// Validate checks what concerns more than one key. The error joins one *Error for each thing that is wrong.
// Load has called it already.
func (c *Config) Validate() error {
	var errs []error
	// The cause is the other key that is concerned: it stands for the origin where the first has its default.
	fail := func(path, cause, problem, fix string) {
		name := root + "." + path
		errs = append(errs, &Error{Origin: cmp.Or(c.origins[name], c.origins[root+"."+cause], "default"), Key: name, Problem: problem, Fix: fix})
	}
	if pool := c.Postgres.Pool; pool.MinSize > pool.MaxSize {
		fail("postgres.pool.min-size", "postgres.pool.max-size", strconv.Itoa(pool.MinSize)+" is more than max-size, which is "+strconv.Itoa(pool.MaxSize),
			"lower min-size or raise max-size")
	}
	if c.InlineMax > c.StageMax {
		fail("inline-max", "stage-max", c.InlineMax.String()+" is more than stage-max, which is "+c.StageMax.String(),
			"lower inline-max or raise stage-max")
	}
	if c.usesS3() {
		if c.S3.Bucket == "" {
			fail("s3.bucket", "backend", "no bucket is named, and S3 is used", `write bucket = "NAME" in graviton.s3`)
		}
		if c.Cache.Dirty < c.S3.Multipart.PartSize {
			fail("cache.dirty", "s3.multipart.part-size", c.Cache.Dirty.String()+" doesn't hold one part of an upload to S3, which is "+c.S3.Multipart.PartSize.String(),
				"raise cache.dirty or lower s3.multipart.part-size")
		}
		if m := c.S3.Multipart; int64(m.MaxParts) < 2*int64(c.Cache.Dirty/m.PartSize)+4 {
			fail("s3.multipart.max-parts", "cache.dirty", strconv.Itoa(m.MaxParts)+" parts of "+m.PartSize.String()+" don't hold what cache.dirty, which is "+
				c.Cache.Dirty.String()+", may hold twice", "raise max-parts or part-size, or lower cache.dirty")
		}
	}
	if (c.S3.AccessKeyID == "") != (c.S3.SecretAccessKey == "") {
		empty, set := "s3.access-key-id", "s3.secret-access-key"
		if c.S3.AccessKeyID != "" {
			empty, set = set, empty
		}
		fail(empty, set, "only one of access-key-id and secret-access-key is set", "set both, or none to use the AWS SDK's own chain")
	}
	if c.usesPostgres() && c.Postgres.Username == "" {
		fail("postgres.username", "backend", "empty, and PostgreSQL is used", "write the database role")
	}
	if c.Tiered.UploadDelay > 0 && !c.Tiered.WriteBack {
		fail("tiered.upload-delay", "tiered.write-back", "has no effect without write-back", "write write-back = true, or remove upload-delay")
	}
	return errors.Join(errs...)
}

func notEmpty(text string) *Error {
	if strings.TrimSpace(text) == "" {
		return &Error{Problem: "empty", Fix: "write a name"}
	}
	return nil
}

func hostPort(text string) *Error {
	if text == "" {
		return nil
	}
	_, port, err := net.SplitHostPort(text)
	if n, e := strconv.Atoi(port); err != nil || e != nil || n < 0 || n > 65535 {
		return &Error{Problem: shorten(text) + " is no host:port", Fix: "write for example 127.0.0.1:9567"}
	}
	return nil
}

// postgresURL and endpoint don't show what they refuse: it may hold a password.
func postgresURL(text string) *Error {
	secret := &Error{Problem: "holds a password", Fix: "move it to graviton.postgres.password, which is never shown"}
	if keyPassword.MatchString(text) {
		secret.Fix = "set the variable PGSSLPASSWORD to it"
	}
	if passwordWord.MatchString(text) {
		return secret
	}
	if libpqKeywords.MatchString(text) {
		return nil
	}
	wrong := &Error{Problem: "not the URL of a PostgreSQL server", Fix: "write for example jdbc:postgresql://localhost:5432/graviton"}
	u, err := url.Parse(strings.TrimPrefix(text, "jdbc:"))
	if err != nil || u.Scheme != "postgresql" && u.Scheme != "postgres" {
		return wrong
	}
	if _, ok := u.User.Password(); ok {
		return secret
	}
	query, err := url.ParseQuery(u.RawQuery)
	if err != nil { // which would leave out what it can't read
		wrong.Problem = "garbled after the ?"
		return wrong
	}
	for name := range query { // which may be escaped
		if strings.HasSuffix(strings.ToLower(strings.TrimSpace(name)), "password") {
			return secret
		}
	}
	return nil
}

var (
	// libpqKeywords begins what libpq takes instead of a URL: key = value …
	libpqKeywords = regexp.MustCompile(`^\s*[a-z_]+\s*=`)
	// passwordWord is password= or sslpassword= anywhere, in a form as sloppy as any parser takes.
	passwordWord = regexp.MustCompile(`(?i)password[\s\v]*=`)
	keyPassword  = regexp.MustCompile(`(?i)sslpassword[\s\v]*=`) // of the key of a client's certificate
)

func endpoint(text string) *Error {
	if text == "" {
		return nil
	}
	u, err := url.Parse(text)
	if err != nil || !slices.Contains([]string{"http", "https"}, u.Scheme) || u.Host == "" || u.User != nil {
		return &Error{Problem: "not an http or https URL", Fix: "write for example http://localhost:9000, without credentials"}
	}
	return nil
}
