// OpenSSL 3, for Swift: the headers, and inline wrappers where OpenSSL has macros.
#pragma once
#include <openssl/bio.h>
#include <openssl/buffer.h>
#include <openssl/crypto.h>
#include <openssl/ec.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>
#include <openssl/pem.h>
#include <openssl/ssl.h>
#include <openssl/x509.h>
#include <openssl/x509v3.h>

#include <arpa/inet.h>
#include <string.h>
#include <time.h>

static inline int co_set_minimum_version(SSL_CTX *context, int version) {
    return SSL_CTX_set_min_proto_version(context, version);
}

static inline void co_set_modes(SSL_CTX *context) {
    // Release the record buffers of idle connections; allow partial writes and a buffer that moves.
    SSL_CTX_set_mode(context, SSL_MODE_RELEASE_BUFFERS | SSL_MODE_ENABLE_PARTIAL_WRITE
                                  | SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER);
}

static inline void co_set_server_options(SSL_CTX *context) {
    SSL_CTX_set_options(context, SSL_OP_NO_RENEGOTIATION | SSL_OP_NO_COMPRESSION | SSL_OP_CIPHER_SERVER_PREFERENCE
                                     | SSL_OP_PRIORITIZE_CHACHA);
}

static inline int co_set_groups(SSL_CTX *context, const char *groups) {
    return SSL_CTX_set1_groups_list(context, groups) == 1;
}

static inline int co_set_host_name(SSL *ssl, const char *name) {
    return SSL_set_tlsext_host_name(ssl, name) == 1;
}

static inline void co_accept_any_certificate(SSL_CTX *context) {
    // The certificate is checked later: SSL_get_verify_result says what is wrong with it.
    SSL_CTX_set_verify(context, SSL_VERIFY_NONE, NULL);
}

// Appends one name and a line break, if there is room.
static inline size_t co_append_name(char *text, size_t size, size_t used, const char *name, size_t length) {
    if (length == 0 || used + length + 1 > size) return used;
    for (size_t i = 0; i < length; i++) text[used + i] = name[i];
    text[used + length] = '\n';
    return used + length + 1;
}

// Writes the DNS names and IP addresses of a certificate, one per line; returns the total length.
static inline size_t co_certificate_names(X509 *certificate, char *text, size_t size) {
    GENERAL_NAMES *names = X509_get_ext_d2i(certificate, NID_subject_alt_name, NULL, NULL);
    size_t used = 0;
    for (int i = 0; names != NULL && i < sk_GENERAL_NAME_num(names); i++) {
        int type = 0;
        ASN1_STRING *value = GENERAL_NAME_get0_value(sk_GENERAL_NAME_value(names, i), &type);
        const unsigned char *bytes = type == GEN_DNS || type == GEN_IPADD ? ASN1_STRING_get0_data(value) : NULL;
        if (bytes == NULL) continue;
        int length = ASN1_STRING_length(value);
        if (type == GEN_DNS) used = co_append_name(text, size, used, (const char *)bytes, (size_t)length);
        if (type == GEN_IPADD) {
            char address[46];
            int family = length == 4 ? AF_INET : AF_INET6;
            if ((length == 4 || length == 16) && inet_ntop(family, bytes, address, sizeof address) != NULL)
                used = co_append_name(text, size, used, address, strlen(address));
        }
    }
    GENERAL_NAMES_free(names);
    return used;
}

// Seconds since 1970; 0 if the time is invalid.
static inline int64_t co_unix_time(const ASN1_TIME *time) {
    struct tm fields;
    return time != NULL && ASN1_TIME_to_tm(time, &fields) == 1 ? (int64_t)timegm(&fields) : 0;
}

static inline void co_release_memory(BIO *bio) {
    // A memory BIO keeps its largest buffer. An empty one gets a new, empty buffer.
    BUF_MEM *buffer = NULL;
    if (BIO_ctrl_pending(bio) > 0 || BIO_get_mem_ptr(bio, &buffer) != 1 || buffer->max <= 2048) return;
    BUF_MEM *fresh = BUF_MEM_new();
    if (fresh != NULL) BIO_set_mem_buf(bio, fresh, BIO_CLOSE);
}

static inline void co_set_write_bio_eof(BIO *bio) {
    // An empty memory BIO says "try again" rather than "the end".
    BIO_set_mem_eof_return(bio, -1);
}
