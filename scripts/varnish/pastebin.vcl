# pastebin.vcl: Varnish before pastebin. Included by default.vcl, which brings a backend, an acl and the secret.
#
# What it promises:
# - The origin says how long an answer is kept: by CDN-Cache-Control (RFC 9213) where that is valid, else by Cache-Control;
#   without either nothing is kept. Nothing with Set-Cookie, Vary: *, private, no-store or no-cache is.
# - A purge needs an address in `purgers` and the secret. `xkey-purge: KEY ...` and `xkey-softpurge: KEY ...` purge by the
#   keys of Surrogate-Key, `pastebin-flush: 1` purges everything, and without these goes the address itself.
# - What has been purged does not come back from a fetch that began before. xkey and Varnish skip what is still being
#   fetched. So a purge leaves a mark, the time, at the last letter of each key; an answer that was asked for before the
#   mark is delivered to those who asked before it and not kept. Between this check and the moment from which xkey
#   knows the object some microseconds are open: the worker sends every purge again two seconds later, which ends them.
# - What replaces it is not older than the change although the origin may ask a replica that lags behind: with the
#   mark comes a Pastebin-Min-LSN, which goes with the fetches of the next minute. A client's own never does.
# - Stale answers are given as RFC 5861 allows: while the new one is fetched, and instead of an error of the origin.

vcl 4.1;

import std;
import var;
import xkey;

sub vcl_recv {
    if (req.restarts == 0) {
        unset req.http.pb-stale;
        unset req.http.pb-error;
        unset req.http.pb-secret;
        unset req.http.pb-gone;
        unset req.http.pb-status;
    }
    if (req.method == "PURGE") {
        call pastebin_purge;
    }
    unset req.http.Pastebin-Min-LSN;
    unset req.http.Pastebin-Purge-Secret;
    # a language that the reader has chosen; all the others are told from each other by Accept-Language
    unset req.http.Pastebin-Language;
    if (req.http.Cookie ~ "(^|;\s*)language=[a-z][a-z]\s*(;|$)") {
        set req.http.Pastebin-Language = regsub(req.http.Cookie, "^(?:.*;)?\s*language=([a-z][a-z])\s*(?:;.*)?$", "\1");
    }
    if (req.method !~ "^(GET|HEAD|POST|PUT|PATCH|DELETE|OPTIONS)$") {
        return (synth(405, "Method Not Allowed"));
    }
    if (req.method != "GET" && req.method != "HEAD") {
        return (pass);
    }
    if (req.http.Authorization || req.http.Pastebin-Consistency || req.http.Cookie ~ "(^|;\s*)(owner|consistency|look|mine)=") {
        return (pass);
    }
    unset req.http.Cookie;
    # An escaped slug is the same paste under another address, whose purge would leave no mark for it.
    if (req.url ~ "^/(raw/|embed/|documents/|diff/[^/?]*/?|api/v1/pastes/)?[^/.?]*%") {
        return (pass);
    }
    # Far into a large file: Varnish would fetch everything before it.
    if (req.http.Range ~ "^bytes=[0-9]{8,}-") {
        return (pass);
    }
    # set by vcl_hit and vcl_synth; what is set survives a restart
    if (req.http.pb-error) {
        set req.grace = 365d;
    } else if (req.http.pb-stale) {
        set req.grace = 0s;
    }
    return (hash);
}

sub pastebin_purge {
    if (client.ip !~ purgers) {
        return (synth(403, "Forbidden"));
    }
    call pastebin_secret;
    if (!req.http.pb-secret || req.http.pb-secret == "" || req.http.Pastebin-Purge-Secret != req.http.pb-secret) {
        return (synth(403, "Forbidden"));
    }
    unset req.http.pb-secret;
    unset req.http.Pastebin-Purge-Secret;
    set req.http.pb-gone = "0";
    if (req.http.pastebin-check) {
        return (synth(200, "Purged"));
    }
    if (req.http.pastebin-flush || !req.http.pastebin-marks) {
        set req.http.pastebin-marks = "*";
    }
    call pastebin_mark_64;
    if (req.http.pastebin-flush) {
        ban("obj.status != 0");
        return (synth(200, "Purged"));
    }
    if (req.http.xkey-purge) {
        set req.http.pb-gone = xkey.purge(req.http.xkey-purge);
        return (synth(200, "Purged"));
    }
    if (req.http.xkey-softpurge) {
        set req.http.pb-gone = xkey.softpurge(req.http.xkey-softpurge);
        return (synth(200, "Purged"));
    }
    return (purge);
}

# pastebin-marks holds the last letters of the keys, each once; "*" stands for every key. VCL has no loops.
sub pastebin_mark_1 {
    if (req.http.pastebin-marks != "") {
        var.global_set("at:" + regsub(req.http.pastebin-marks, "^(.).*$", "\1"), "" + std.real(time=now));
        if (req.http.Pastebin-Min-LSN) {
            var.global_set("lsn:" + regsub(req.http.pastebin-marks, "^(.).*$", "\1"), req.http.Pastebin-Min-LSN);
        }
        set req.http.pastebin-marks = regsub(req.http.pastebin-marks, "^.", "");
    }
}
sub pastebin_mark_4 { call pastebin_mark_1; call pastebin_mark_1; call pastebin_mark_1; call pastebin_mark_1; }
sub pastebin_mark_16 { call pastebin_mark_4; call pastebin_mark_4; call pastebin_mark_4; call pastebin_mark_4; }
sub pastebin_mark_64 { call pastebin_mark_16; call pastebin_mark_16; call pastebin_mark_16; call pastebin_mark_16; }

sub vcl_purge {
    return (synth(200, "Purged"));
}

sub vcl_hit {
    set req.http.pb-status = "hit";
    if (obj.ttl <= 0s) {
        set req.http.pb-status = "hit; detail=stale";
        # too old to be given while another is fetched: that is waited for, and this one kept for the case of an error
        if (req.restarts == 0 && obj.ttl + std.duration(obj.http.pb-swr + "s", 0s) <= 0s) {
            set req.http.pb-stale = "1";
            return (restart);
        }
    }
}

sub vcl_miss {
    set req.http.pb-status = "fwd=miss";
}

sub vcl_pass {
    set req.http.pb-status = "fwd=bypass";
}

sub vcl_backend_fetch {
    # a fetch that is given up leaves what is stored alone, an error that is delivered would replace it
    if (bereq.is_bgfetch || (bereq.http.pb-stale && !bereq.http.pb-error)) {
        var.set("or", "stale");
    }
    unset bereq.http.pb-stale;
    unset bereq.http.pb-error;
    unset bereq.http.pb-status;
    unset bereq.http.Pastebin-Min-LSN;
    var.set_real("began", std.real(time=now));
    # the last letter of the slug, which is that of its key; a comparison has two
    var.set("mark", regsub(bereq.url,
        "^/(?:raw/|embed/|documents/|diff/[^/?]+/|api/v1/pastes/)?[A-Za-z0-9_-]*([A-Za-z0-9])(?:[/.?].*)?$", "\1"));
    var.set("other", regsub(bereq.url, "^/diff/[A-Za-z0-9_-]*([A-Za-z0-9])/.*$", "\1"));
    call pastebin_min_lsn;
}

# The token that came with the latest purge of what is asked for. After a minute it has expired.
sub pastebin_min_lsn {
    var.set_real("floor", std.real(time=now) - 60.0);
    if (std.real(var.global_get("at:" + var.get("mark")), 0.0) > var.get_real("floor")) {
        var.set_real("floor", std.real(var.global_get("at:" + var.get("mark")), 0.0));
        set bereq.http.Pastebin-Min-LSN = var.global_get("lsn:" + var.get("mark"));
    }
    if (std.real(var.global_get("at:" + var.get("other")), 0.0) > var.get_real("floor")) {
        var.set_real("floor", std.real(var.global_get("at:" + var.get("other")), 0.0));
        set bereq.http.Pastebin-Min-LSN = var.global_get("lsn:" + var.get("other"));
    }
    if (std.real(var.global_get("at:*"), 0.0) > var.get_real("floor")) {
        set bereq.http.Pastebin-Min-LSN = var.global_get("lsn:*");
    }
    if (bereq.http.Pastebin-Min-LSN == "") {
        unset bereq.http.Pastebin-Min-LSN;
    }
}

sub vcl_backend_response {
    if (beresp.status >= 500 && var.get("or") == "stale") {
        return (abandon);
    }
    if (bereq.uncacheable) {
        return (deliver);
    }
    if (beresp.status >= 500) {
        set beresp.uncacheable = true;
        set beresp.ttl = 0s;
        set beresp.grace = 0s;
        return (deliver);
    }
    if (std.integer(beresp.http.Content-Length, 0) > 67108864) {
        return (pass(60s));
    }
    call pastebin_lifetime;
    if (beresp.ttl <= 0s || beresp.http.Set-Cookie || beresp.http.Vary ~ "\*" || beresp.status == 206) {
        set beresp.uncacheable = true;
        set beresp.ttl = 30s;
        set beresp.grace = 0s;
        return (deliver);
    }
    if (beresp.http.Surrogate-Key) {
        set beresp.http.xkey = beresp.http.Surrogate-Key;
    }
    call pastebin_overtaken;
    unset beresp.http.Pastebin-Consistency;
    unset beresp.http.X-Request-Id;
    set beresp.keep = 10m;
    set beresp.do_stream = true;
    return (deliver);
}

# How long an answer may be used: beresp.ttl; how long it may be given stale: pb-swr, and beresp.grace for both reasons.
sub pastebin_lifetime {
    set beresp.http.pb-control = beresp.http.Cache-Control;
    # a dictionary of RFC 8941 as far as directives need one; anything else is ignored as a whole (RFC 9213, 2.1)
    if (beresp.http.CDN-Cache-Control ~ {"(?x)^[ ]* (?<item>
            (?<key> [a-z*][a-z0-9_.*-]* )
            (?<value> = (?: \?[01] | -?[0-9]{1,12}(?:\.[0-9]{1,3})? | "[ !#-\[\]-~]*"
                | [A-Za-z*][!\#$%&'*+.^_`|~0-9A-Za-z:/-]* ) )?
            (?: [ ]* ; [ ]* (?&key) (?&value)? )* )
            (?: [ \t]* , [ \t]* (?&item) )* [ ]*$"}) {
        set beresp.http.pb-control = beresp.http.CDN-Cache-Control;
        unset beresp.http.Expires;
    }
    # what stands in quotes is no directive
    set beresp.http.pb-control = regsuball(beresp.http.pb-control, {""[^"]*""}, "");
    if (beresp.http.pb-control ~ "(?i)(^|,)\s*(no-store|no-cache|private)\b") {
        set beresp.ttl = 0s;
    } else if (beresp.http.pb-control ~ "(?i)(^|,)\s*s-maxage=") {
        set beresp.ttl = std.duration(
            regsub(beresp.http.pb-control, "(?i)^(?:.*,)?\s*s-maxage=([0-9]{1,9}).*$", "\1") + "s", 0s) - beresp.age;
    } else if (beresp.http.pb-control ~ "(?i)(^|,)\s*max-age=") {
        set beresp.ttl = std.duration(
            regsub(beresp.http.pb-control, "(?i)^(?:.*,)?\s*max-age=([0-9]{1,9}).*$", "\1") + "s", 0s) - beresp.age;
    } else if (!beresp.http.Expires) {
        set beresp.ttl = 0s;
    }
    set beresp.http.pb-swr = "0";
    set beresp.grace = 0s;
    if (beresp.http.pb-control !~ "(?i)(^|,)\s*(must-revalidate|proxy-revalidate|s-maxage=)") {
        if (beresp.http.pb-control ~ "(?i)(^|,)\s*stale-while-revalidate=[0-9]") {
            set beresp.http.pb-swr = regsub(
                beresp.http.pb-control, "(?i)^(?:.*,)?\s*stale-while-revalidate=([0-9]{1,9}).*$", "\1");
            set beresp.grace = std.duration(beresp.http.pb-swr + "s", 0s);
        }
        if (beresp.http.pb-control ~ "(?i)(^|,)\s*stale-if-error=[0-9]") {
            set beresp.http.pb-error = regsub(
                beresp.http.pb-control, "(?i)^(?:.*,)?\s*stale-if-error=([0-9]{1,9}).*$", "\1");
            if (std.duration(beresp.http.pb-error + "s", 0s) > beresp.grace) {
                set beresp.grace = std.duration(beresp.http.pb-error + "s", 0s);
            }
            unset beresp.http.pb-error;
        }
    }
    unset beresp.http.pb-control;
}

# Whether something of it was purged since it was asked for; times are kept to the millisecond.
sub pastebin_overtaken {
    if (std.real(var.global_get("at:*"), 0.0) > var.get_real("began") - 0.001
        || std.real(var.global_get("at:" + var.get("mark")), 0.0) > var.get_real("began") - 0.001
        || std.real(var.global_get("at:" + regsub(beresp.http.xkey, "^\s*\S*(\S)(\s.*)?$", "\1")), 0.0)
            > var.get_real("began") - 0.001
        || std.real(var.global_get("at:" + regsub(beresp.http.xkey, "^\s*\S+\s+\S*(\S)(\s.*)?$", "\1")), 0.0)
            > var.get_real("began") - 0.001) {
        set beresp.uncacheable = true;
        set beresp.ttl = 1s;
        set beresp.grace = 0s;
        return (deliver);
    }
}

sub vcl_backend_error {
    if (var.get("or") == "stale") {
        return (abandon);
    }
    set beresp.http.Content-Type = "text/plain; charset=utf-8";
    set beresp.http.Cache-Control = "no-store";
    set beresp.http.Retry-After = "5";
    synthetic("The origin does not answer at the moment; try again shortly." + {"
"});
    return (deliver);
}

sub vcl_deliver {
    # RFC 9111, 4.4: a change that went through here is not followed by what was before it
    if (req.method ~ "^(POST|PUT|PATCH|DELETE)$" && resp.status < 400
        && req.url ~ "^/(?:raw/|documents/|api/v1/pastes/)?[A-Za-z0-9_-]+") {
        var.global_set("at:" + regsub(req.url,
            "^/(?:raw/|documents/|api/v1/pastes/)?[A-Za-z0-9_-]*([A-Za-z0-9_-]).*$", "\1"), "" + std.real(time=now));
        set req.http.pb-gone = xkey.purge(
            "p-" + regsub(req.url, "^/(?:raw/|documents/|api/v1/pastes/)?([A-Za-z0-9_-]+).*$", "\1"));
    }
    if (resp.http.Vary ~ "Pastebin-Language") {
        set resp.http.Vary = regsub(resp.http.Vary, "Pastebin-Language", "Accept-Language");
    }
    unset resp.http.Surrogate-Key;
    unset resp.http.xkey;
    unset resp.http.CDN-Cache-Control;
    unset resp.http.pb-swr;
    unset resp.http.X-Varnish;
    unset resp.http.Via;
    # RFC 9211: the cache nearest to the client stands last
    if (resp.http.Cache-Status) {
        set resp.http.Cache-Status = resp.http.Cache-Status + ", varnish; " + req.http.pb-status;
    } else {
        set resp.http.Cache-Status = "varnish; " + req.http.pb-status;
    }
}

sub vcl_synth {
    if (resp.status == 503 && req.http.pb-stale && !req.http.pb-error) {
        set req.http.pb-error = "1";
        return (restart);
    }
    set resp.http.Content-Type = "text/plain; charset=utf-8";
    set resp.http.Cache-Control = "no-store";
    unset resp.http.X-Varnish;
    if (req.http.pb-gone) {
        set resp.http.Pastebin-Purged = req.http.pb-gone;
    }
    synthetic(resp.reason + {"
"});
    return (deliver);
}
