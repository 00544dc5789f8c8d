// The limit: what one core can do at best with this protocol, over the kernel's sockets and epoll. A yardstick for
// scripts/bench, not a server for anybody.
//
//     cc -O2 -std=c11 -o limit limit.c -lcrypto && FYNLO_JWT_SECRET=… ./limit 8020
//
// It does what nobody could leave out: the upgrade, HS256 and `exp` of tokens, frames with their masks, lengths and
// operation codes, UTF-8, the grammar of JSON, ping -> pong, transient events to everybody of the restaurant (encoded
// once), the closing handshake, a limit for whoever does not read. One recv per wake-up and one send for all that it
// brings about; the time is read and formatted once per turn.
//
// It leaves out all that costs more: the database (who shows a good token is whoever they say), commands, durable events,
// fragmented messages (1002), keys written with escapes, `safe` JSON in what it relays, rate and connection limits,
// heartbeats and other time-outs, metrics, diagnostics, TLS and other HTTP than the upgrade.
//
// With LIMIT_TURNS in the environment, its value does not matter, TERM prints the longest turn of its loop in milliseconds.
#define _GNU_SOURCE
#include <errno.h>
#include <limits.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <openssl/sha.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

enum {
    READ_BYTES = 65536,    // per wake-up, as the server under test
    MESSAGE_BYTES = 65536, // of one message
    DATA_BYTES = 16384,    // of one message's data
    QUEUE_BYTES = 1 << 20, // waiting for one client
    DEPTH = 32,            // of JSON
    BUCKETS = 4096,
    EVENTS = 1024,
    UUID = 36
};

struct span {
    const char *at, *end;
};

struct bytes { // on the heap, for those few that need one
    size_t count;
    char at[];
};

struct restaurant {
    struct restaurant *next;
    int *members; // descriptors
    int count, capacity;
    char id[UUID];
};

enum state { CLOSED, UPGRADING, AUTHENTICATING, CONNECTED, LEAVING };

struct connection { // found by its descriptor
    struct restaurant *restaurant;
    struct bytes *kept;    // read and not used yet
    struct bytes *waiting; // for the kernel to take
    uint32_t number, sent;
    int place; // among the members
    uint8_t state;
    char user[UUID];
};

static int poller, listener;
static struct connection *connections;
static struct restaurant *restaurants[BUCKETS];
static uint32_t accepted;
static SHA256_CTX inner_key, outer_key;
static struct timespec now;
static char now_text[] = "1970-01-01T00:00:00.000Z";
static char node[17];

static void die(const char *what) {
    perror(what);
    exit(1);
}

static void *must(void *memory) {
    if (!memory) die("memory");
    return memory;
}

// MARK: What is to be sent

static struct buffer {
    char *at;
    size_t count, capacity;
} replies, relayed;

static char *reserve(struct buffer *b, size_t count) {
    if (b->capacity - b->count < count) {
        b->capacity = 2 * (b->capacity + count);
        b->at = must(realloc(b->at, b->capacity));
    }
    return b->at + b->count;
}

static void put(struct buffer *b, const void *bytes, size_t count) {
    memcpy(reserve(b, count), bytes, count);
    b->count += count;
}

#define PUT(b, text) put(b, text, sizeof(text) - 1)

static void put_number(struct buffer *b, uint64_t number) {
    char digits[20], *first = digits + 20;
    do *--first = (char)('0' + number % 10); while (number /= 10);
    put(b, first, (size_t)(digits + 20 - first));
}

static void put_span(struct buffer *b, struct span s) {
    put(b, s.at, (size_t)(s.end - s.at));
}

// A frame of at most 64 KiB: its length stands where `begin_frame` said, and is known at its end. Most are shorter than
// 126 bytes or longer by far, so room is left for the longer form, and the text moves up where it is not needed.
static size_t begin_frame(struct buffer *b) {
    reserve(b, 4);
    b->count += 4;
    return b->count;
}

static void end_frame(struct buffer *b, size_t text) {
    size_t count = b->count - text;
    uint8_t *head = (uint8_t *)b->at + text - 4;
    head[0] = 0x81;
    if (count < 126) {
        head[1] = (uint8_t)count;
        memmove(head + 2, head + 4, count);
        b->count -= 2;
    } else {
        head[1] = 126;
        head[2] = (uint8_t)(count >> 8);
        head[3] = (uint8_t)count;
    }
}

static void begin_message(struct buffer *b, struct connection *c) {
    PUT(b, "{\"id\":\"");
    put(b, node, 16);
    PUT(b, "-");
    put_number(b, c->number);
    PUT(b, "-");
    put_number(b, ++c->sent);
    PUT(b, "\",\"type\":\"");
}

static void end_message(struct buffer *b, struct connection *c) {
    PUT(b, ",\"restaurant_id\":\"");
    put(b, c->restaurant->id, UUID);
    PUT(b, "\",\"timestamp\":\"");
    put(b, now_text, sizeof(now_text) - 1);
    PUT(b, "\"");
}

static void put_close(struct buffer *b, int code, const char *reason) {
    uint8_t head[4] = {0x88, (uint8_t)(2 + strlen(reason)), (uint8_t)(code >> 8), (uint8_t)code};
    put(b, head, 4);
    put(b, reason, strlen(reason));
}

// MARK: Sockets

static void listen_for(int descriptor, uint32_t events) {
    struct epoll_event event = {.events = events, .data.fd = descriptor};
    epoll_ctl(poller, EPOLL_CTL_MOD, descriptor, &event);
}

static void forget(int descriptor) {
    struct connection *c = &connections[descriptor];
    if (c->restaurant && c->place >= 0) {
        struct restaurant *r = c->restaurant;
        int last = r->members[--r->count];
        r->members[c->place] = last;
        connections[last].place = c->place;
    }
    free(c->kept);
    free(c->waiting);
    memset(c, 0, sizeof *c);
    close(descriptor);
}

// One send. What the kernel does not take waits; who lets too much wait is cut off, and found at its next wake-up.
static void send_to(int descriptor, const char *bytes, size_t count) {
    struct connection *c = &connections[descriptor];
    size_t waiting = c->waiting ? c->waiting->count : 0;
    if (!waiting) {
        ssize_t sent = send(descriptor, bytes, count, MSG_NOSIGNAL | MSG_DONTWAIT);
        if (sent == (ssize_t)count) return;
        if (sent < 0 && errno != EAGAIN) {
            shutdown(descriptor, SHUT_RDWR);
            return;
        }
        if (sent > 0) bytes += sent, count -= (size_t)sent;
    }
    if (waiting + count > QUEUE_BYTES) {
        shutdown(descriptor, SHUT_RDWR);
        return;
    }
    c->waiting = must(realloc(c->waiting, sizeof(struct bytes) + waiting + count));
    memcpy(c->waiting->at + waiting, bytes, count);
    c->waiting->count = waiting + count;
    if (!waiting) listen_for(descriptor, EPOLLIN | EPOLLOUT);
}

static void send_waiting(int descriptor) {
    struct connection *c = &connections[descriptor];
    if (!c->waiting) return;
    ssize_t sent = send(descriptor, c->waiting->at, c->waiting->count, MSG_NOSIGNAL | MSG_DONTWAIT);
    if (sent < 0) return;
    c->waiting->count -= (size_t)sent;
    memmove(c->waiting->at, c->waiting->at + sent, c->waiting->count);
    if (c->waiting->count) return;
    free(c->waiting);
    c->waiting = NULL;
    listen_for(descriptor, EPOLLIN);
}

static void accept_all(void) {
    int descriptor;
    while ((descriptor = accept4(listener, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC)) >= 0) {
        struct epoll_event event = {.events = EPOLLIN, .data.fd = descriptor};
        if (epoll_ctl(poller, EPOLL_CTL_ADD, descriptor, &event) < 0) die("epoll_ctl");
        connections[descriptor] = (struct connection){.state = UPGRADING, .number = ++accepted, .place = -1};
    }
}

// MARK: JSON (RFC 8259) and UTF-8 (RFC 3629)

static uint64_t word(const char *p) {
    uint64_t w;
    memcpy(&w, p, 8);
    return w;
}

#define EACH(byte) (UINT64_C(0x0101010101010101) * (byte))

// Non-zero where a byte is below `limit`, which is 128 at most (Bit Twiddling Hacks, "hasless").
static uint64_t less(uint64_t w, uint64_t limit) {
    return (w - EACH(limit)) & ~w & EACH(0x80);
}

static bool is_utf8(const char *text, const char *end) {
    const uint8_t *p = (const uint8_t *)text, *stop = (const uint8_t *)end;
    while (p < stop) {
        if (stop - p >= 8 && !(word((const char *)p) & EACH(0x80))) {
            p += 8;
            continue;
        }
        uint8_t lead = *p++;
        if (lead < 0x80) continue;
        int more = lead >= 0xf0 ? 3 : lead >= 0xe0 ? 2 : 1;
        if (lead < 0xc2 || lead > 0xf4 || stop - p < more) return false;
        if ((lead == 0xe0 && *p < 0xa0) || (lead == 0xed && *p > 0x9f) || (lead == 0xf0 && *p < 0x90) ||
            (lead == 0xf4 && *p > 0x8f))
            return false;
        while (more--)
            if ((*p++ & 0xc0) != 0x80) return false;
    }
    return true;
}

static const char *skip_space(const char *p, const char *end) {
    while (p < end && (*p == ' ' || *p == '\n' || *p == '\r' || *p == '\t')) p++;
    return p;
}

static bool is_hex(char c) {
    return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'f') || (c >= 'A' && c <= 'F');
}

// From behind the opening quote to behind the closing one; NULL if it is none. The same for all that follow.
static const char *skip_string(const char *p, const char *end) {
    for (;;) {
        while (end - p >= 8) {
            uint64_t w = word(p);
            if (less(w, 0x20) | less(w ^ EACH('"'), 1) | less(w ^ EACH('\\'), 1)) break;
            p += 8;
        }
        if (p >= end) return NULL;
        char c = *p++;
        if (c == '"') return p;
        if ((unsigned char)c < 0x20) return NULL;
        if (c != '\\') continue;
        if (p >= end) return NULL;
        c = *p++;
        if (c == 'u') {
            if (end - p < 4 || !is_hex(p[0]) || !is_hex(p[1]) || !is_hex(p[2]) || !is_hex(p[3])) return NULL;
            p += 4;
        } else if (!c || !strchr("\"\\/bfnrt", c)) {
            return NULL;
        }
    }
}

static const char *skip_digits(const char *p, const char *end) {
    const char *first = p;
    while (p < end && *p >= '0' && *p <= '9') p++;
    return p > first ? p : NULL;
}

static const char *skip_number(const char *p, const char *end) {
    if (p < end && *p == '-') p++;
    const char *first = p;
    if (!(p = skip_digits(p, end)) || (*first == '0' && p > first + 1)) return NULL;
    if (p < end && *p == '.' && !(p = skip_digits(p + 1, end))) return NULL;
    if (p < end && (*p == 'e' || *p == 'E')) {
        p++;
        if (p < end && (*p == '+' || *p == '-')) p++;
        p = skip_digits(p, end);
    }
    return p;
}

static const char *skip_word(const char *p, const char *end, const char *word) {
    size_t count = strlen(word);
    return (size_t)(end - p) >= count && !memcmp(p, word, count) ? p + count : NULL;
}

static const char *skip_value(const char *p, const char *end, int depth);

// The next member of an object, from behind its `{` or `,`.
static const char *member(const char *p, const char *end, int depth, struct span *key, struct span *value) {
    p = skip_space(p, end);
    if (p >= end || *p != '"') return NULL;
    key->at = p + 1;
    if (!(p = skip_string(p + 1, end))) return NULL;
    key->end = p - 1;
    p = skip_space(p, end);
    if (p >= end || *p != ':') return NULL;
    value->at = skip_space(p + 1, end);
    if (!(p = skip_value(value->at, end, depth))) return NULL;
    value->end = p;
    return skip_space(p, end);
}

static const char *skip_value(const char *p, const char *end, int depth) {
    struct span key, value;
    if (p >= end) return NULL;
    switch (*p) {
    case '"': return skip_string(p + 1, end);
    case 't': return skip_word(p, end, "true");
    case 'f': return skip_word(p, end, "false");
    case 'n': return skip_word(p, end, "null");
    case '{':
        if (++depth > DEPTH) return NULL;
        p = skip_space(p + 1, end);
        if (p < end && *p == '}') return p + 1;
        for (;; p++) {
            if (!(p = member(p, end, depth, &key, &value)) || p >= end) return NULL;
            if (*p == '}') return p + 1;
            if (*p != ',') return NULL;
        }
    case '[':
        if (++depth > DEPTH) return NULL;
        p = skip_space(p + 1, end);
        if (p < end && *p == ']') return p + 1;
        for (;; p++) {
            if (!(p = skip_value(skip_space(p, end), end, depth))) return NULL;
            if ((p = skip_space(p, end)) >= end) return NULL;
            if (*p == ']') return p + 1;
            if (*p != ',') return NULL;
        }
    default: return skip_number(p, end);
    }
}

static bool is(struct span s, const char *text) {
    size_t count = strlen(text);
    return (size_t)(s.end - s.at) == count && !memcmp(s.at, text, count);
}

struct field {
    const char *name;
    struct span value; // empty if it is not there
};

// Finds members of the object that is the whole of `text`. False if it is no object, or has one of them twice.
static bool find(struct span text, struct field *fields, int count) {
    const char *p = skip_space(text.at, text.end);
    struct span key, value;
    for (int i = 0; i < count; i++) fields[i].value = (struct span){NULL, NULL};
    if (p >= text.end || *p != '{') return false;
    p = skip_space(p + 1, text.end);
    if (p < text.end && *p == '}') return skip_space(p + 1, text.end) == text.end;
    for (;; p++) {
        if (!(p = member(p, text.end, 1, &key, &value)) || p >= text.end) return false;
        for (int i = 0; i < count; i++) {
            if (!is(key, fields[i].name)) continue;
            if (fields[i].value.at) return false;
            fields[i].value = value;
        }
        if (*p == '}') return skip_space(p + 1, text.end) == text.end;
        if (*p != ',') return false;
    }
}

// What is between the quotes of a string without escapes; empty for all others.
static struct span plain(struct span value) {
    if (!value.at || *value.at != '"' || memchr(value.at, '\\', (size_t)(value.end - value.at)))
        return (struct span){NULL, NULL};
    return (struct span){value.at + 1, value.end - 1};
}

// MARK: Tokens (RFC 7515, 7519)

static int base64_value(char c) {
    if (c >= 'A' && c <= 'Z') return c - 'A';
    if (c >= 'a' && c <= 'z') return c - 'a' + 26;
    if (c >= '0' && c <= '9') return c - '0' + 52;
    return c == '-' ? 62 : c == '_' ? 63 : -1;
}

// Returns how many bytes there are, or -1.
static int base64url(struct span s, uint8_t *out, int capacity) {
    static int8_t values[256];
    if (!values['A' + 1])
        for (int i = 0; i < 256; i++) values[i] = (int8_t)base64_value((char)i);
    uint32_t bits = 0;
    int have = 0, count = 0;
    for (const char *p = s.at; p < s.end; p++) {
        int value = values[(uint8_t)*p];
        if (value < 0 || count >= capacity) return -1;
        bits = bits << 6 | (uint32_t)value;
        if ((have += 6) >= 8) out[count++] = (uint8_t)(bits >> (have -= 8));
    }
    return have < 6 && !(bits & ((1u << have) - 1)) ? count : -1;
}

static void set_secret(const char *secret) {
    uint8_t key[64] = {0}, pad[64];
    if (strlen(secret) > 64) SHA256((const uint8_t *)secret, strlen(secret), key);
    else memcpy(key, secret, strlen(secret));
    for (int i = 0; i < 64; i++) pad[i] = key[i] ^ 0x36;
    SHA256_Init(&inner_key);
    SHA256_Update(&inner_key, pad, 64);
    for (int i = 0; i < 64; i++) pad[i] = key[i] ^ 0x5c;
    SHA256_Init(&outer_key);
    SHA256_Update(&outer_key, pad, 64);
}

// The token's `exp`, or 0 if it is not good (now).
static int64_t expiry(struct span token) {
    uint8_t text[4096], signature[32], mac[32];
    if (!token.at || token.end - token.at > 4096) return 0;
    const char *first = memchr(token.at, '.', (size_t)(token.end - token.at));
    const char *second = first ? memchr(first + 1, '.', (size_t)(token.end - first - 1)) : NULL;
    if (!second || base64url((struct span){second + 1, token.end}, signature, 32) != 32) return 0;

    SHA256_CTX context = inner_key;
    SHA256_Update(&context, token.at, (size_t)(second - token.at));
    SHA256_Final(mac, &context);
    context = outer_key;
    SHA256_Update(&context, mac, 32);
    SHA256_Final(mac, &context);
    uint8_t difference = 0;
    for (int i = 0; i < 32; i++) difference |= mac[i] ^ signature[i];
    if (difference) return 0;

    int count = base64url((struct span){token.at, first}, text, sizeof text);
    struct field header = {.name = "alg"};
    if (count < 0 || !find((struct span){(char *)text, (char *)text + count}, &header, 1)) return 0;
    if (!is(plain(header.value), "HS256")) return 0;
    count = base64url((struct span){first + 1, second}, text, sizeof text);
    struct field claims[] = {{.name = "exp"}, {.name = "sub"}};
    if (count < 0 || !find((struct span){(char *)text, (char *)text + count}, claims, 2)) return 0;
    struct span subject = plain(claims[1].value);
    if (subject.at == subject.end || !claims[0].value.at) return 0;
    int64_t expiry = 0;
    for (const char *p = claims[0].value.at; p < claims[0].value.end && *p >= '0' && *p <= '9'; p++) {
        if (expiry > INT64_MAX / 100) return 0;
        expiry = expiry * 10 + (*p - '0');
    }
    return expiry > now.tv_sec ? expiry : 0;
}

// MARK: The upgrade

static struct restaurant *restaurant_of(const char *id) {
    uint32_t hash = 2166136261u;
    for (int i = 0; i < UUID; i++) hash = (hash ^ (uint8_t)id[i]) * 16777619u;
    struct restaurant **bucket = &restaurants[hash % BUCKETS];
    for (struct restaurant *r = *bucket; r; r = r->next)
        if (!memcmp(r->id, id, UUID)) return r;
    struct restaurant *r = must(calloc(1, sizeof *r));
    memcpy(r->id, id, UUID);
    r->next = *bucket;
    return *bucket = r;
}

// Copies a UUID in lower case; false if it is none.
static bool take_uuid(struct span s, char id[UUID]) {
    if (!s.at || s.end - s.at != UUID) return false;
    for (int i = 0; i < UUID; i++) {
        bool dash = i == 8 || i == 13 || i == 18 || i == 23;
        if (dash ? s.at[i] != '-' : !is_hex(s.at[i])) return false;
        id[i] = dash ? '-' : (char)(s.at[i] | 0x20);
    }
    return true;
}

static bool starts(struct span s, const char *text) {
    size_t count = strlen(text);
    return (size_t)(s.end - s.at) >= count && !strncasecmp(s.at, text, count);
}

static bool has_token(struct span list, const char *token) {
    for (const char *p = list.at; p < list.end; p++)
        if (starts((struct span){p, list.end}, token)) return true;
    return false;
}

static void put_accept_key(struct buffer *b, struct span key) {
    static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    uint8_t hash[21] = {0};
    SHA_CTX context;
    SHA1_Init(&context);
    SHA1_Update(&context, key.at, (size_t)(key.end - key.at));
    SHA1_Update(&context, "258EAFA5-E914-47DA-95CA-C5AB0DC85B11", 36);
    SHA1_Final(hash, &context);
    char text[28];
    for (int i = 0, o = 0; i < 21; i += 3, o += 4) {
        uint32_t bits = (uint32_t)hash[i] << 16 | (uint32_t)hash[i + 1] << 8 | hash[i + 2];
        for (int n = 0; n < 4; n++) text[o + n] = digits[bits >> (18 - 6 * n) & 63];
    }
    text[27] = '=';
    put(b, text, 28);
}

// Returns how much of the input it was, 0 if there is more to come, -1 if it is none.
static ssize_t upgrade(struct connection *c, const char *at, const char *end) {
    const char *stop = memmem(at, (size_t)(end - at), "\r\n\r\n", 4);
    if (!stop) return end - at > 8192 ? -1 : 0;
    const char *line = memmem(at, (size_t)(stop + 2 - at), "\r\n", 2), *p = line - 9;
    struct span path = {at, p}, key = {NULL, NULL};
    bool upgrades = false, connects = false, version = false, protocol = false;
    static const char prefix[] = "GET /api/v1/websocket/ws/";
    if (p < at || memcmp(p, " HTTP/1.1", 9) || !starts(path, prefix)) return -1;
    const char *slash = memchr(at + sizeof prefix - 1, '/', (size_t)(p - at) - sizeof prefix + 1);
    char id[UUID];
    if (!slash || !take_uuid((struct span){slash + 1, p}, id)) return -1;
    for (line += 2; line < stop + 2; line = p + 2) {
        p = memmem(line, (size_t)(stop + 2 - line), "\r\n", 2);
        const char *colon = memchr(line, ':', (size_t)(p - line));
        if (!colon) return -1;
        struct span name = {line, colon + 1}, value = {colon + 1, p};
        while (value.at < value.end && *value.at == ' ') value.at++;
        if (starts(name, "upgrade:")) upgrades = has_token(value, "websocket");
        else if (starts(name, "connection:")) connects = has_token(value, "upgrade");
        else if (starts(name, "sec-websocket-version:")) version = is(value, "13");
        else if (starts(name, "sec-websocket-key:")) key = value;
        else if (starts(name, "sec-websocket-protocol:")) protocol = has_token(value, "fynlo.v1");
    }
    if (!upgrades || !connects || !version || !key.at || key.end - key.at != 24) return -1;
    c->restaurant = restaurant_of(id);
    c->state = AUTHENTICATING;
    PUT(&replies, "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
                  "Sec-WebSocket-Accept: ");
    put_accept_key(&replies, key);
    if (protocol) PUT(&replies, "\r\nSec-WebSocket-Protocol: fynlo.v1");
    PUT(&replies, "\r\n\r\n");
    return stop + 4 - at;
}

// MARK: Messages

static void refuse(struct connection *c, const char *error, const char *code, const char *reason, int number) {
    size_t text = begin_frame(&replies);
    begin_message(&replies, c);
    PUT(&replies, "auth_error\",\"data\":{\"error\":\"");
    put(&replies, error, strlen(error));
    PUT(&replies, "\",\"code\":\"");
    put(&replies, code, strlen(code));
    PUT(&replies, "\",\"retryable\":false}");
    end_message(&replies, c);
    PUT(&replies, "}");
    end_frame(&replies, text);
    put_close(&replies, number, reason);
    c->state = LEAVING;
}

static void authenticate(int descriptor, struct connection *c, struct field *top) {
    struct field data[] = {{.name = "token"}, {.name = "user_id"}, {.name = "restaurant_id"}};
    char restaurant[UUID];
    if (!is(top[0].value, "\"authenticate\""))
        return refuse(c, "First message must be authentication", "authentication_required", "Authentication required",
                      4001);
    if (top[1].value.at && !find(top[1].value, data, 3)) return refuse(c, "Missing authentication data",
        "missing_authentication_data", "Authentication failed", 4003);
    for (int i = 0; i < 3; i++)
        if (!data[i].value.at) data[i].value = top[2 + i].value;
    if (!take_uuid(plain(data[1].value), c->user) || !take_uuid(plain(data[2].value), restaurant) || !data[0].value.at)
        return refuse(c, "Missing authentication data", "missing_authentication_data", "Authentication failed", 4003);
    int64_t until = expiry(plain(data[0].value));
    if (!until) return refuse(c, "Invalid authentication token", "invalid_token", "Authentication failed", 4003);
    if (memcmp(restaurant, c->restaurant->id, UUID))
        return refuse(c, "Access denied to this restaurant", "access_denied", "Authentication failed", 4003);

    struct restaurant *r = c->restaurant;
    if (r->count == r->capacity) {
        r->capacity = r->capacity ? 2 * r->capacity : 4;
        r->members = must(realloc(r->members, sizeof(int) * (size_t)r->capacity));
    }
    c->place = r->count;
    r->members[r->count++] = descriptor;
    c->state = CONNECTED;

    struct tm utc;
    char text[64];
    gmtime_r(&(time_t){until}, &utc);
    size_t frame = begin_frame(&replies);
    begin_message(&replies, c);
    PUT(&replies, "authenticated\",\"data\":{\"user_id\":\"");
    put(&replies, c->user, UUID);
    PUT(&replies, "\",\"restaurant_id\":\"");
    put(&replies, r->id, UUID);
    PUT(&replies, "\",\"connection_id\":\"");
    put(&replies, node, 16);
    PUT(&replies, "-");
    put_number(&replies, c->number);
    PUT(&replies, "\",\"role\":\"employee\",\"seq\":0,\"heartbeat_interval_ms\":15000,\"token_expires_at\":\"");
    put(&replies, text, strftime(text, sizeof text, "%Y-%m-%dT%H:%M:%S.000Z", &utc));
    PUT(&replies, "\",\"resumed\":false}");
    end_message(&replies, c);
    PUT(&replies, "}");
    end_frame(&replies, frame);
}

static void put_error(struct connection *c, const char *code, const char *sentence) {
    size_t text = begin_frame(&replies);
    begin_message(&replies, c);
    PUT(&replies, "error\",\"data\":{\"code\":\"");
    put(&replies, code, strlen(code));
    PUT(&replies, "\",\"error\":\"");
    put(&replies, sentence, strlen(sentence));
    PUT(&replies, "\"}");
    end_message(&replies, c);
    PUT(&replies, "}");
    end_frame(&replies, text);
}

static bool is_transient(struct span type) {
    static const char *const types[] = {"kitchen.item_started", "kitchen.item_ready", "kitchen.order_ready",
        "table.occupied", "table.available", "table.reserved", "table.cleaned"};
    for (size_t i = 0; i < sizeof types / sizeof *types; i++)
        if (is(type, types[i])) return true;
    return false;
}

static void receive_message(int descriptor, struct connection *c, struct span message) {
    // The last three are asked for only until the token is known.
    struct field fields[] = {{.name = "type"}, {.name = "data"}, {.name = "token"}, {.name = "user_id"},
        {.name = "restaurant_id"}};
    bool good = find(message, fields, c->state == CONNECTED ? 2 : 5);
    if (!good) fields[0].value = (struct span){NULL, NULL};
    if (c->state == AUTHENTICATING) return authenticate(descriptor, c, fields);
    struct span type = plain(fields[0].value), data = fields[1].value;
    if (!type.at) return put_error(c, "invalid_message", "A message is a JSON object with a type.");
    if (data.at && data.end - data.at > DATA_BYTES) return put_error(c, "invalid_message", "Data has at most 16 KiB.");
    if (is(type, "ping")) {
        size_t text = begin_frame(&replies);
        begin_message(&replies, c);
        PUT(&replies, "pong\",\"data\":{\"timestamp\":\"");
        put(&replies, now_text, sizeof(now_text) - 1);
        PUT(&replies, "\"");
        if (data.at) {
            PUT(&replies, ",\"echo\":");
            put_span(&replies, data);
        }
        PUT(&replies, "}");
        end_message(&replies, c);
        PUT(&replies, "}");
        end_frame(&replies, text);
    } else if (is_transient(type)) {
        if (!data.at || *data.at != '{')
            return put_error(c, "invalid_message", "The data of an event is an object.");
        size_t text = begin_frame(&relayed);
        begin_message(&relayed, c);
        put_span(&relayed, type);
        PUT(&relayed, "\",\"data\":");
        put_span(&relayed, data);
        end_message(&relayed, c);
        PUT(&relayed, ",\"user_id\":\"");
        put(&relayed, c->user, UUID);
        PUT(&relayed, "\"}");
        end_frame(&relayed, text);
    } else if (!is(type, "pong")) {
        put_error(c, "unknown_type", "There is no such type of message.");
    }
}

// MARK: Frames (RFC 6455 §5)

static void unmask(char *p, size_t count, const char *mask) {
    uint32_t half;
    memcpy(&half, mask, 4);
    uint64_t key = (uint64_t)half << 32 | half;
    for (; count >= 8; p += 8, count -= 8) {
        uint64_t w = word(p) ^ key;
        memcpy(p, &w, 8);
    }
    for (size_t i = 0; i < count; i++) p[i] ^= mask[i & 3];
}

static ssize_t fail(struct connection *c, int code, const char *reason) {
    put_close(&replies, code, reason);
    c->state = LEAVING;
    return 0;
}

// Returns how long the frame was; 0 if there is more to come, or if it was the last one.
static ssize_t receive_frame(int descriptor, struct connection *c, char *at, const char *end) {
    if (end - at < 2) return 0;
    uint8_t first = (uint8_t)at[0], second = (uint8_t)at[1], code = first & 15;
    uint64_t count = second & 127;
    char *p = at + 2;
    if (!(first & 0x80) || first & 0x70 || code == 0) return fail(c, 1002, "Fragments and extensions are not spoken");
    if (!(second & 0x80)) return fail(c, 1002, "Clients mask their frames");
    if (code & 8 && count > 125) return fail(c, 1002, "Control frames are short");
    if (count == 126) {
        if (end - p < 2) return 0;
        count = (uint64_t)(uint8_t)p[0] << 8 | (uint8_t)p[1];
        p += 2;
        if (count < 126) return fail(c, 1002, "The length has a shorter form");
    } else if (count == 127) {
        if (end - p < 8) return 0;
        count = 0;
        for (int i = 0; i < 8; i++) count = count << 8 | (uint8_t)p[i];
        p += 8;
        if (count < 65536 || count >> 63) return fail(c, 1002, "The length has a shorter form");
    }
    if (count > MESSAGE_BYTES) return fail(c, 1009, "A message has at most 64 KiB");
    if ((uint64_t)(end - p) < 4 + count) return 0;
    unmask(p + 4, count, p);
    p += 4;
    switch (code) {
    case 1:
        if (!is_utf8(p, p + count)) return fail(c, 1007, "Text is UTF-8");
        receive_message(descriptor, c, (struct span){p, p + count});
        break;
    case 2: return fail(c, 1003, "Messages are text");
    case 8:
        if (count == 1) return fail(c, 1002, "A close code has two bytes");
        put(&replies, (char[]){(char)0x88, (char)(count ? 2 : 0)}, 2);
        if (count) put(&replies, p, 2);
        c->state = LEAVING;
        return 0;
    case 9:
        put(&replies, (char[]){(char)0x8a, (char)count}, 2);
        put(&replies, p, count);
        break;
    case 10: break;
    default: return fail(c, 1002, "There is no such frame");
    }
    return p + count - at;
}

// MARK: The turn

static void receive(int descriptor) {
    static char input[READ_BYTES + MESSAGE_BYTES + 16];
    struct connection *c = &connections[descriptor];
    if (c->state == CLOSED) return; // a late event
    size_t count = 0;
    if (c->kept) {
        count = c->kept->count;
        memcpy(input, c->kept->at, count);
    }
    ssize_t got = recv(descriptor, input + count, READ_BYTES, MSG_DONTWAIT);
    if (got < 0 && errno == EAGAIN) return;
    if (got <= 0) return forget(descriptor);
    char *p = input, *end = input + count + got;

    replies.count = relayed.count = 0;
    if (c->state == UPGRADING) {
        ssize_t used = upgrade(c, p, end);
        if (used < 0) {
            static const char refusal[] = "HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\nConnection: close\r\n\r\n";
            send(descriptor, refusal, sizeof refusal - 1, MSG_NOSIGNAL | MSG_DONTWAIT);
            return forget(descriptor);
        }
        p += used;
    }
    if (c->state != UPGRADING)
        while (c->state != LEAVING) {
            ssize_t used = receive_frame(descriptor, c, p, end);
            if (!used) break;
            p += used;
        }

    free(c->kept);
    c->kept = NULL;
    if (p < end && c->state != LEAVING) {
        c->kept = must(malloc(sizeof(struct bytes) + (size_t)(end - p)));
        c->kept->count = (size_t)(end - p);
        memcpy(c->kept->at, p, c->kept->count);
    }
    if (relayed.count) {
        struct restaurant *r = c->restaurant;
        for (int i = 0; i < r->count; i++)
            if (r->members[i] != descriptor) send_to(r->members[i], relayed.at, relayed.count);
        put(&replies, relayed.at, relayed.count);
    }
    if (replies.count) send_to(descriptor, replies.at, replies.count);
    if (c->state == LEAVING) forget(descriptor);
}

static void read_clock(void) {
    static time_t second;
    static long millisecond;
    clock_gettime(CLOCK_REALTIME, &now);
    if (now.tv_sec != second) {
        struct tm utc;
        gmtime_r(&now.tv_sec, &utc);
        strftime(now_text, sizeof now_text, "%Y-%m-%dT%H:%M:%S.000Z", &utc);
        second = now.tv_sec;
        millisecond = 0;
    }
    long millis = now.tv_nsec / 1000000;
    if (millis != millisecond) {
        now_text[20] = (char)('0' + millis / 100);
        now_text[21] = (char)('0' + millis / 10 % 10);
        now_text[22] = (char)('0' + millis % 10);
        millisecond = millis;
    }
}

static volatile double longest_turn; // in milliseconds

static void print_longest_turn(int number) {
    (void)number;
    char text[32];
    int length = snprintf(text, sizeof text, "%.1f\n", longest_turn);
    if (write(STDOUT_FILENO, text, (size_t)length) < 0) _exit(1);
    _exit(0);
}

static void note_turn(struct timespec begin) {
    struct timespec end;
    clock_gettime(CLOCK_MONOTONIC, &end);
    double took = (double)(end.tv_sec - begin.tv_sec) * 1e3 + (double)(end.tv_nsec - begin.tv_nsec) / 1e6;
    if (took > longest_turn) longest_turn = took;
}

int main(int count, char **words) {
    const char *secret = getenv("FYNLO_JWT_SECRET");
    if (count != 2 || !secret) {
        fprintf(stderr, "usage: FYNLO_JWT_SECRET=… limit PORT\n");
        return 64;
    }
    set_secret(secret);
    struct rlimit descriptors;
    getrlimit(RLIMIT_NOFILE, &descriptors);
    descriptors.rlim_cur = descriptors.rlim_max < 1 << 20 ? descriptors.rlim_max : 1 << 20;
    setrlimit(RLIMIT_NOFILE, &descriptors);
    connections = must(calloc(descriptors.rlim_cur, sizeof *connections)); // pages appear as they are used

    struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons((uint16_t)atoi(words[1])),
        .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    listener = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    setsockopt(listener, SOL_SOCKET, SO_REUSEADDR, &(int){1}, sizeof(int));
    setsockopt(listener, IPPROTO_TCP, TCP_NODELAY, &(int){1}, sizeof(int)); // accepted sockets inherit it
    if (bind(listener, (struct sockaddr *)&address, sizeof address) < 0) die("bind");
    if (listen(listener, 4096) < 0) die("listen");
    if ((poller = epoll_create1(EPOLL_CLOEXEC)) < 0) die("epoll_create1");
    struct epoll_event event = {.events = EPOLLIN, .data.fd = listener};
    if (epoll_ctl(poller, EPOLL_CTL_ADD, listener, &event) < 0) die("epoll_ctl");
    read_clock();
    snprintf(node, sizeof node, "%016llx", (unsigned long long)now.tv_sec * 1000000007ull + (unsigned long long)getpid());

    bool notes_turns = getenv("LIMIT_TURNS");
    if (notes_turns) signal(SIGTERM, print_longest_turn);
    static struct epoll_event events[EVENTS];
    for (;;) {
        int ready = epoll_wait(poller, events, EVENTS, -1);
        if (ready < 0 && errno != EINTR) die("epoll_wait");
        struct timespec begin;
        if (notes_turns) clock_gettime(CLOCK_MONOTONIC, &begin);
        read_clock();
        for (int i = 0; i < ready; i++) {
            int descriptor = events[i].data.fd;
            if (descriptor == listener) {
                accept_all();
                continue;
            }
            if (events[i].events & EPOLLOUT) send_waiting(descriptor);
            if (events[i].events & ~(uint32_t)EPOLLOUT) receive(descriptor);
        }
        if (notes_turns) note_turn(begin);
    }
}
