// Parts of Linux that Swift's Glibc module lacks. _GNU_SOURCE stays undefined, and no header that Glibc has is included, since
// its declarations would exist twice. GNU-only functions are declared here by hand.
#pragma once
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/types.h>

extern int accept4(int, struct sockaddr *, socklen_t *, int);
extern int malloc_trim(size_t);

// ioctl: the number of bytes in a TCP socket's send queue that the peer has not acknowledged. The kernel's header for it
// repeats many declarations of Glibc.
static const unsigned long cl_SIOCOUTQ = 0x5411;
