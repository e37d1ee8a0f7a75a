package volume_test

// stranger is a user who owns nothing, is in no group and has no capabilities.
type stranger struct{}

func (stranger) Owns(uint32) bool      { return false }
func (stranger) InGroup(uint32) bool   { return false }
func (stranger) LosesPrivileges() bool { return true }

// member is a user who is in every group.
type member struct{ stranger }

func (member) InGroup(uint32) bool { return true }
