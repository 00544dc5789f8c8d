// OpenSSL 3, for Swift: the headers, and inline wrappers where OpenSSL has macros.
#pragma once
#include <openssl/crypto.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>
#include <openssl/ssl.h>
