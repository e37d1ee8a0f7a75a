package volume

// Caller is who asks for a change, as far as the change depends on it. A nil Caller is the daemon itself, which may do
// everything and keeps what a file has.
type Caller interface {
	// Owns reports whether it is that user, or may do what an owner may (CAP_FOWNER).
	Owns(uid uint32) bool
	// InGroup reports whether it is in the group, or may set any file's setgid bit (CAP_FSETID).
	InGroup(gid uint32) bool
	// LosesPrivileges reports whether its changes of a file's content take the file's setuid and setgid bits away: it
	// lacks CAP_FSETID.
	LosesPrivileges() bool
}
