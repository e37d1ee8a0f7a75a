version() { /usr/sbin/dovecot --version | awk '{print $1}'; }
about() { echo 'Maildir, mbox and mdbox with default settings: three IMAP clients at once append, flag, copy and expunge; every message by its hash, and no error in the log'; }

formats="maildir mbox mdbox"
port=20143

# server COMMAND...: runs it while dovecot does; then its log must have no error.
server() {
  local base=$KEEP/base
  mkdir -p "$base"
  cat >"$KEEP/dovecot.conf" <<CONF
base_dir = $base
state_dir = $base/state
log_path = $KEEP/dovecot.log
protocols = imap
listen = 127.0.0.1
ssl = no
disable_plaintext_auth = no
mail_location = %u:~/mail
service imap-login {
  inet_listener imap {
    port = $port
  }
  inet_listener imaps {
    port = 0
  }
}
passdb {
  driver = static
  args = password=pass
}
userdb {
  driver = static
  args = uid=nobody gid=nogroup home=$MNT/home/%u
}
CONF
  : >"$KEEP/dovecot.log"
  /usr/sbin/dovecot -c "$KEEP/dovecot.conf"
  trap 'doveadm -c "$KEEP/dovecot.conf" stop' EXIT
  "$@"
  doveadm -c "$KEEP/dovecot.conf" stop
  trap - EXIT
  ! grep -E '(Error|Panic|Fatal): ' "$KEEP/dovecot.log"
}

imap() { /usr/bin/python3 "$TOP/scripts/certify.d/imap.py" "$port" "$1" "$2" "$KEEP/$1.json"; }

each() {
  local format
  for format in $formats; do imap "$format" "$1"; done
}

write() {
  for format in $formats; do
    mkdir -p "home/$format"
    chown -R nobody:nogroup "home/$format"
  done
  server each write
}

verify() { server each verify; }

# The middle of the largest message.
corrupt() { flip "$(largest home/maildir/mail/cur)"; }
