// What Swift's Glibc module leaves out of Linux. _GNU_SOURCE stays undefined, and no header that Glibc already has is
// included: its declarations would exist twice. GNU-only functions are declared here by hand instead.
#pragma once
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/types.h>

extern int accept4(int, struct sockaddr *, socklen_t *, int);
extern int malloc_trim(size_t);

// ioctl: how many bytes of a TCP socket's send queue the peer has not acknowledged. The kernel's header for it declares
// much that Glibc has too.
static const unsigned long cl_SIOCOUTQ = 0x5411;
