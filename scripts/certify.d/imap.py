"""An IMAP client for dovecot.sh: imap.py PORT USER write|verify FILE.

write has three clients at once append, flag, copy and expunge, and writes to FILE what must be there then, by folder.
verify reads every message, compares its hash with the one in its header, and the lists with FILE.
"""
import email
import hashlib
import imaplib
import json
import random
import sys
import threading

PORT, USER, WHAT, FILE = int(sys.argv[1]), *sys.argv[2:]
CLIENTS, ROUNDS = 3, 30


def connect():
    c = imaplib.IMAP4("127.0.0.1", PORT)
    c.login(USER, "pass")
    return c


def ok(answer):
    if answer[0] != "OK":
        raise RuntimeError(answer)
    return answer[1]


def message(name, rng):
    lines = ("%x" % rng.getrandbits(240) for _ in range(rng.randrange(1, 400)))
    body = "\r\n".join(lines) + "\r\n"
    digest = hashlib.sha256(body.strip().encode()).hexdigest()
    return f"From: a@example.org\r\nSubject: {name}\r\nX-Hash: {digest}\r\n\r\n{body}".encode()


def expunge(c, uid):
    """Until the message is gone: dovecot leaves one, now and then, while another client expunges; on any file system."""
    while ok(c.uid("search", "UID", uid.decode()))[0].split():
        ok(c.uid("store", uid, "+FLAGS", r"(\Deleted)"))
        ok(c.expunge())


def client(number, kept, errors):
    try:
        rng, c = random.Random(number), connect()
        ok(c.select("INBOX"))
        for i in range(ROUNDS):
            name = f"{number}-{i}"
            ok(c.append("INBOX", None, None, message(name, rng)))
            ok(c.noop())
            found = ok(c.uid("search", "HEADER", "Subject", f'"{name}"'))[0].split()
            assert len(found) == 1, f"{name} was found {len(found)} times"
            ok(c.uid("store", found[0], "+FLAGS", r"(\Seen \Flagged)"))
            kept["INBOX"].add(name)
            if i % 3 == 0:
                ok(c.uid("copy", found[0], "Archive"))
                kept["Archive"].add(name)
            if i % 5 == 0:
                expunge(c, found[0])
                kept["INBOX"].discard(name)
        ok(c.close())
        c.logout()
    except BaseException as e:  # a thread's failure must be the program's
        errors.append(e)


def write():
    c = connect()
    ok(c.create("Archive"))
    kept, errors = {"INBOX": set(), "Archive": set()}, []
    threads = [threading.Thread(target=client, args=(n, kept, errors)) for n in range(CLIENTS)]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    for e in errors:
        raise e
    with open(FILE, "w") as f:
        json.dump({k: sorted(v) for k, v in kept.items()}, f)


def verify():
    want, c = json.load(open(FILE)), connect()
    for folder, names in want.items():
        ok(c.select(folder, readonly=True))
        got = []
        for part in ok(c.fetch("1:*", "(FLAGS BODY.PEEK[])")):
            if not isinstance(part, tuple):
                continue
            m = email.message_from_bytes(part[1])
            digest = hashlib.sha256(m.get_payload().strip().encode()).hexdigest()
            assert digest == m["X-Hash"], f"{folder}: {m['Subject']} is not what was stored"
            got.append(m["Subject"])
        assert sorted(got) == names, f"{folder}: {sorted(set(got) ^ set(names))} {len(got)} of {len(names)}"
    c.logout()


{"write": write, "verify": verify}[WHAT]()
