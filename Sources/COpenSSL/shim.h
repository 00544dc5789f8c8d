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

static inline int co_set_minimum_version(SSL_CTX *context, int version) {
    return SSL_CTX_set_min_proto_version(context, version);
}

static inline void co_set_modes(SSL_CTX *context) {
    // Give the record buffers of idle connections back; let a write be short and its buffer move.
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

static inline void co_release_memory(BIO *bio) {
    // A memory BIO keeps the room of the most it ever held. An empty one gets a new, empty buffer.
    BUF_MEM *buffer = NULL;
    if (BIO_ctrl_pending(bio) > 0 || BIO_get_mem_ptr(bio, &buffer) != 1 || buffer->max <= 2048) return;
    BUF_MEM *fresh = BUF_MEM_new();
    if (fresh != NULL) BIO_set_mem_buf(bio, fresh, BIO_CLOSE);
}

static inline void co_set_write_bio_eof(BIO *bio) {
    // An empty memory BIO says "try again" rather than "the end".
    BIO_set_mem_eof_return(bio, -1);
}
