"""What is wrong with an entry of a zone file, in words for who wrote it; dnspython's are for who reads its code."""

from __future__ import annotations

import re

import dns.rdatatype

_SHOWN = 40
# What dnspython says -> what is said instead; "{}" is its group.
_WORDS: tuple[tuple[re.Pattern[str], str], ...] = tuple(
    (re.compile(pattern), words)
    for pattern, words in (
        (r"unknown rdatatype '(.*)'", "{!r} is no type of records"),
        (r"directive '(.*)' is not allowed", "{} is not served; there are $ORIGIN, $TTL and $GENERATE"),
        (r"Missing default TTL", "the record has no TTL, and no $TTL stands before it"),
        (r"class is not zone's", "the class of all records is IN"),
        (r"last used name is undefined", "the record has no name, and none stands before it"),
        (r"unbalanced parentheses", "a parenthesis is not closed"),
        (r"newline in quoted string", "a text in quotes does not end on its line"),
        (r"ended unexpectedly", "what was begun does not end"),
        (r"TTL value is not|trailing integer", "a TTL is a number of seconds, or such as 1h30m"),
        (r"label is > 63", "a part of a name has more than 63 characters"),
        (r"name is > 255", "a name has more than 255 characters"),
        (r"label is empty", "a name has an empty part"),
        (r"string too long", "a text has more than 255 characters; several may follow each other"),
        (r"escaped? code", "a backslash in a name stands before what it cannot mean"),
    )
)
_DATA = {
    "A": "an IPv4 address",
    "AAAA": "an IPv6 address",
    "CAA": "flags, a tag and a value in quotes",
    "CNAME": "one name",
    "MX": "a preference and a name",
    "NS": "one name",
    "PTR": "one name",
    "SOA": "two names and five numbers: serial, refresh, retry, expire, minimum",
    "SRV": "a priority, a weight, a port and a name",
    "TXT": "texts, in quotes where they hold spaces",
}


def explained(entry: str, error: Exception) -> str:
    """Why the entry, of one line or of several between parentheses, cannot be read."""
    said = str(error)
    for pattern, words in _WORDS:
        if found := pattern.search(said):
            return words.format(*(group[:_SHOWN] for group in found.groups()))
    words_of_entry = re.sub(r";.*|[()]", " ", entry).split()
    if words_of_entry and words_of_entry[0].startswith("$"):
        return f"{words_of_entry[0][:_SHOWN]} cannot be read as it stands there"
    # the name comes first, unless the line begins with a space
    for word in words_of_entry[not entry[:1].isspace() :]:
        if word.upper() in dns.rdatatype.RdataType.__members__:
            return f"the data of {word.upper()} is {_DATA.get(word.upper(), 'not of this form')}"
    return "this is no record: a name, a TTL, IN, a type and its data"
