package pg

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/url"
	"regexp"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgxpool"
	"golang.org/x/sys/unix"
)

// jdbcNames are parameters of the JDBC driver that libpq has under another name.
var jdbcNames = map[string]string{
	"ApplicationName": "application_name",
	"connectTimeout":  "connect_timeout",
	"loginTimeout":    "connect_timeout",
	"sslMode":         "sslmode",
}

// targetServerTypes are the values of JDBC's targetServerType as those of target_session_attrs.
var targetServerTypes = map[string]string{
	"any": "any", "primary": "primary", "master": "primary", "secondary": "standby", "slave": "standby",
	"preferSecondary": "prefer-standby", "preferSlave": "prefer-standby",
}

// parseURL reads the ways to name a server into the configuration of a pool, without dialing. Its errors don't hold
// the URL, which may hold a password.
func parseURL(cfg *Config) (*pgxpool.Config, error) {
	text := cfg.URL
	if strings.HasPrefix(text, "jdbc:") {
		var err error
		if text, err = fromJDBC(text); err != nil {
			return nil, err
		}
	}
	// The role is part of the text, because the password file is searched for it.
	if cfg.Username != "" {
		text = withUser(text, cfg.Username)
	}
	pc, err := pgxpool.ParseConfig(text)
	if err != nil {
		return nil, badURL(err)
	}
	cc := &pc.ConnConfig.Config
	if cfg.Username != "" {
		cc.User = cfg.Username
	}
	if cfg.Password != "" {
		cc.Password = cfg.Password
	}
	if cc.ConnectTimeout == 0 || cc.ConnectTimeout > cfg.ConnectionTimeout {
		cc.ConnectTimeout = cfg.ConnectionTimeout
	}
	cc.DialFunc = dialer(cfg.ConnectionTimeout).DialContext
	setParameters(cc.RuntimeParams, cfg)
	pc.MinConns, pc.MaxConns = int32(cfg.MinConns), int32(cfg.MaxConns)
	pc.HealthCheckPeriod = 10 * time.Second
	pc.PingTimeout = 5 * time.Second
	pc.MaxConnLifetimeJitter = 5 * time.Minute
	return pc, nil
}

// setParameters sets what every session has. Commits don't wait for the log to be on disk: what must wait for that,
// the namespace's Sync, says so in its transaction.
func setParameters(params map[string]string, cfg *Config) {
	params["search_path"] = pgx.Identifier{cfg.Schema}.Sanitize()
	if params["application_name"] == "" {
		params["application_name"] = "graviton"
	}
	params["standard_conforming_strings"] = "on"
	params["client_encoding"] = "UTF8"
	params["synchronous_commit"] = "off"
	// Every statement finds rows by a key, in a nested loop if it joins. So one plan is right for all values, and stays
	// right while a table grows, if it was not made for the few rows that the table began with.
	params["plan_cache_mode"] = "force_generic_plan"
	for _, method := range []string{"seqscan", "hashjoin", "mergejoin"} {
		params["enable_"+method] = "off"
	}
	params["jit"] = "off" // for which the missing methods would make statements look expensive enough
	// The server lets go of the locks of a daemon whose host is gone: in a transaction, waiting for a lock, or idle.
	for name, value := range map[string]string{
		"idle_in_transaction_session_timeout": "60s", "client_connection_check_interval": "10s",
		"tcp_keepalives_idle": "20", "tcp_keepalives_interval": "10", "tcp_keepalives_count": "3",
	} {
		params[name] = value
	}
	params["default_transaction_isolation"] = "read committed"
	if cfg.StatementTimeout > 0 {
		params["statement_timeout"] = strconv.FormatInt(max(1, cfg.StatementTimeout.Milliseconds()), 10)
	}
}

// quoted is a part of the URL in the parser's words.
var quoted = regexp.MustCompile(`"(?:[^"\\]|\\.)*"?`)

// badURL tells what is wrong with a URL, in the parser's words as far as they can't hold a part of it.
func badURL(err error) error {
	const fix = "write for example jdbc:postgresql://localhost:5432/graviton"
	var pe *pgconn.ParseConfigError
	var ue *url.Error
	if cause := errors.Unwrap(err); errors.As(err, &pe) && cause != nil && !errors.As(cause, &ue) {
		return fmt.Errorf("postgres: the URL can't be used: %s; %s", quoted.ReplaceAllString(cause.Error(), `"…"`), fix)
	}
	return fmt.Errorf("postgres: the URL can't be used: %s", fix)
}

// fromJDBC turns the JDBC driver's form into libpq's.
func fromJDBC(text string) (string, error) {
	text = strings.TrimPrefix(text, "jdbc:")
	rest, ok := strings.CutPrefix(text, "postgresql:")
	if !ok {
		return "", badURL(nil)
	}
	if !strings.HasPrefix(rest, "//") { // jdbc:postgresql:database, on this machine
		rest = "//localhost/" + strings.TrimPrefix(rest, "/")
	}
	base, raw, _ := strings.Cut("postgresql:"+rest, "?")
	query, err := url.ParseQuery(raw)
	if err != nil {
		return "", badURL(nil)
	}
	for from, to := range jdbcNames {
		if query.Has(from) {
			query.Set(to, query.Get(from))
			query.Del(from)
		}
	}
	if kind := query.Get("targetServerType"); kind != "" {
		attrs, ok := targetServerTypes[kind]
		if !ok {
			return "", fmt.Errorf("postgres: the URL has an unknown targetServerType: write primary, secondary, preferSecondary or any")
		}
		query.Set("target_session_attrs", attrs)
		query.Del("targetServerType")
	}
	switch ssl := query.Get("ssl"); {
	case !query.Has("ssl"):
	case query.Has("sslmode"):
	case ssl == "" || strings.EqualFold(ssl, "true"):
		query.Set("sslmode", "verify-full")
	default:
		query.Set("sslmode", "prefer")
	}
	query.Del("ssl")
	if query.Has("currentSchema") {
		return "", fmt.Errorf("postgres: the URL has currentSchema: set postgres.schema instead")
	}
	if len(query) == 0 {
		return base, nil
	}
	return base + "?" + query.Encode(), nil
}

// withUser adds a role to a URL or to keywords, over the one that is there.
func withUser(text, user string) string {
	if !strings.HasPrefix(text, "postgres://") && !strings.HasPrefix(text, "postgresql://") {
		quoted := strings.NewReplacer(`\`, `\\`, `'`, `\'`).Replace(user)
		return strings.TrimSpace(text + " user='" + quoted + "'")
	}
	separator := "?"
	if strings.Contains(text, "?") {
		separator = "&"
	}
	return text + separator + "user=" + url.QueryEscape(user)
}

// dialer makes connections that notice a peer that is gone: by probes while they wait, and by data that isn't
// acknowledged.
func dialer(timeout time.Duration) *net.Dialer {
	const gone = 15 * time.Second
	return &net.Dialer{
		Timeout:         timeout,
		KeepAliveConfig: net.KeepAliveConfig{Enable: true, Idle: gone / 3, Interval: gone / 5, Count: 3},
		ControlContext: func(_ context.Context, network, _ string, c syscall.RawConn) error {
			if !strings.HasPrefix(network, "tcp") {
				return nil
			}
			var serr error
			err := c.Control(func(fd uintptr) {
				serr = unix.SetsockoptInt(int(fd), unix.IPPROTO_TCP, unix.TCP_USER_TIMEOUT, int(gone.Milliseconds()))
			})
			return errors.Join(err, serr)
		},
	}
}

// place names the server for messages: host, port and database, no role and no password.
func place(cc *pgconn.Config, schema string) string {
	var hosts []string
	add := func(host string, port uint16) {
		at := net.JoinHostPort(host, strconv.Itoa(int(port)))
		if strings.HasPrefix(host, "/") {
			at = host + ":" + strconv.Itoa(int(port))
		}
		if len(hosts) == 0 || hosts[len(hosts)-1] != at { // a host is there with and without TLS
			hosts = append(hosts, at)
		}
	}
	add(cc.Host, cc.Port)
	for _, f := range cc.Fallbacks {
		add(f.Host, f.Port)
	}
	s := "postgres:" + strings.Join(hosts, ",") + "/" + cc.Database
	if schema != "public" {
		s += " schema " + schema
	}
	return s
}
