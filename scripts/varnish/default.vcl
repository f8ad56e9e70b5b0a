# default.vcl: what differs from place to place: copy it to /etc/varnish/ and change what is in capitals below.
#
# Varnish 7.1 or later with varnish-modules (Debian: apt-get install varnish varnish-modules). The logic is in
# pastebin.vcl, which lies beside it. README, "Other CDNs", has the other end: a [[cdn.targets]] table.

vcl 4.1;

import std;

# A node, on its door `origin` (with the role `edge` this is its own cache too: then let Varnish ask a node without it).
backend pastebin {
    .host = "127.0.0.1";             # NODE
    .port = "8080";
    .connect_timeout = 3s;
    .first_byte_timeout = 30s;
    .between_bytes_timeout = 30s;
    .max_connections = 256;
}

# Who may purge, if they know the secret too: the nodes with the role `cdn-worker`.
acl purgers {
    "127.0.0.1";                     # WORKERS
    "::1";
}

# The same as `token` of the target: 32 characters or more, readable by the user that runs Varnish and nobody else.
sub pastebin_secret {
    set req.http.pb-secret = regsub(std.fileread("/etc/varnish/pastebin.secret"), "\s+$", "");
}

include "/etc/varnish/pastebin.vcl";
