-- Where the lines of large texts are: how many line ends each block of a blob holds. Goes with its blob.

create table line_indexes (
    blob_key    text collate "C" primary key references blobs on delete cascade,
    size        bigint not null,
    block_bytes bigint not null check (block_bytes > 0),
    is_ended    boolean not null,
    -- 64-bit numbers, the lowest byte first
    counts      bytea not null
);
