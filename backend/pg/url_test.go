package pg

import (
	"strings"
	"testing"
)

func TestParseURL(t *testing.T) {
	for _, name := range []string{"PGHOST", "PGPORT", "PGUSER", "PGPASSWORD", "PGDATABASE", "PGSSLMODE"} {
		t.Setenv(name, "")
	}
	t.Setenv("PGPASSFILE", "/nowhere")
	for _, tt := range []struct {
		cfg  Config
		want string // place, user, password, application
	}{
		{Config{URL: "jdbc:postgresql://db:5433/volume"}, "postgres:db:5433/volume - - graviton"},
		{Config{URL: "jdbc:postgresql://db/volume?user=a&password=b&ApplicationName=backup"}, "postgres:db:5432/volume a b backup"},
		{Config{URL: "jdbc:postgresql:volume", Username: "u"}, "postgres:localhost:5432/volume u - graviton"},
		{Config{URL: "postgres://a:b@db/volume", Username: "it's", Password: "p&?= "}, "postgres:db:5432/volume it's p&?=  graviton"},
		{Config{URL: "postgresql://a:b@db:1,other:2/volume?target_session_attrs=primary"},
			"postgres:db:1,other:2/volume a b graviton"},
		{Config{URL: "host=db dbname=volume user=a", Username: `b'\ c`}, `postgres:db:5432/volume b'\ c - graviton`},
		{Config{URL: "postgresql://[::1]:5433/volume", Schema: "s"}, "postgres:[::1]:5433/volume schema s - - graviton"},
		{Config{URL: "postgresql:///volume?host=/run/pg"}, "postgres:/run/pg:5432/volume - - graviton"},
	} {
		cfg := tt.cfg
		check(t, cfg.setDefaults())
		pc, err := parseURL(&cfg)
		if err != nil {
			t.Errorf("%s: %v", tt.cfg.URL, err)
			continue
		}
		cc := pc.ConnConfig
		user, password := cc.User, cc.Password
		if tt.cfg.Username == "" && !strings.Contains(tt.cfg.URL, "user=") && !strings.Contains(tt.cfg.URL, "@") {
			user = "-" // the system's
		}
		if password == "" {
			password = "-"
		}
		got := strings.Join([]string{place(&cc.Config, cfg.Schema), user, password, cc.RuntimeParams["application_name"]}, " ")
		if got != tt.want {
			t.Errorf("%s is\n%s, want\n%s", tt.cfg.URL, got, tt.want)
		}
	}
}

func TestParseURLRefused(t *testing.T) {
	for url, words := range map[string]string{
		"mysql://u:hunter2@h/x":                                             "URL",
		"jdbc:mysql://u:hunter2@h/x":                                        "URL",
		"postgresql://u:hunter2@h:notaport/x":                               "URL",
		"jdbc:postgresql://h/x?targetServerType=all&password=hunter2":       "targetServerType",
		"jdbc:postgresql://h/x?currentSchema=a&password=hunter2":            "postgres.schema",
		"postgresql://u:hunter2@h/x?sslmode=maybe":                          "sslmode",
		"postgresql://u:hunter2@h/x?sslrootcert=/nowhere&sslmode=verify-ca": "/nowhere",
		"host=h password=hunter2 nonsense":                                  "URL",
		"postgresql://u:hun%zzter2@h/x":                                     "URL",
	} {
		cfg := Config{URL: url}
		check(t, cfg.setDefaults())
		_, err := parseURL(&cfg)
		if err == nil {
			t.Errorf("%s was taken", url)
			continue
		}
		if !strings.Contains(err.Error(), words) || strings.Contains(err.Error(), "hunter2") || strings.Contains(err.Error(), "hun%zz") {
			t.Errorf("%s: %v", url, err)
		}
	}
}
