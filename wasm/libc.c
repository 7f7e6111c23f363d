/* libc.c: the few functions of the C library that src/ calls, so that a module needs no C library and no imports for
 * it.
 *
 * The allocator keeps the heap tight: WebAssembly's memory never shrinks, so its size is what a page pays for an
 * encoder. Memory grows by just what a request lacks (a free block at the end counts towards it), never by a factor.
 * Blocks lie side by side and carry boundary tags (Knuth, TAOCP 2.5), so that free neighbours merge in constant time;
 * the smallest block that fits is taken. Requests are few and large: searching the free list costs nothing beside
 * filling what it gives.
 */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#define PAGE      ((size_t)65536)
#define MAX_PAGES 65535 /* one less than 4 GB, so that the end of memory is an address */
#define LARGEST   ((size_t)0xfffe0000u)

enum { ALIGN = 16, SMALLEST = 32, FREE = 1, FREE_BEFORE = 2 };

/* What lies before the bytes that the caller sees. The last block of the heap is a bare header that is never free. */
typedef struct block {
    uint32_t tag;                  /* bytes of the whole block, a multiple of ALIGN, and the two flags */
    uint32_t size_before;          /* of the block before this one, if that is free                    */
    struct block *next, *previous; /* in the list of free blocks, if this is one                       */
} block;

_Static_assert(sizeof(block) == ALIGN, "a header keeps what follows it aligned");

extern unsigned char __heap_base; /* from the linker: where the module's own data and stack end */

/* The state of the one memory that a module has. */
static struct {
    block *free_list, *end;
} heap;

static uint32_t size_of(const block *b) { return b->tag & ~(uint32_t)(ALIGN - 1); }
static block *at(block *b, uint32_t offset) { return (block *)((uintptr_t)b + offset); }
static block *after(block *b) { return at(b, size_of(b)); }

static void take_from_list(block *b)
{
    if (b->previous) b->previous->next = b->next;
    else heap.free_list = b->next;
    if (b->next) b->next->previous = b->previous;
}

/* Makes [b, b + size) one used block. */
static void set_used(block *b, uint32_t size)
{
    b->tag = size | (b->tag & FREE_BEFORE);
    after(b)->tag &= ~(uint32_t)FREE_BEFORE;
}

/* Makes [b, b + size) free, together with free neighbours. */
static void set_free(block *b, uint32_t size)
{
    block *next = at(b, size);
    if (next->tag & FREE) {
        take_from_list(next);
        size += size_of(next);
    }
    if (b->tag & FREE_BEFORE) {
        b = (block *)((uintptr_t)b - b->size_before);
        take_from_list(b);
        size += size_of(b);
    }
    b->tag = size | FREE; /* two free blocks are never neighbours: no FREE_BEFORE here */
    next = after(b);
    next->tag |= FREE_BEFORE;
    next->size_before = size;
    b->previous = NULL;
    b->next = heap.free_list;
    if (b->next) b->next->previous = b;
    heap.free_list = b;
}

/* Cuts a used block down to `size` bytes, if what is left over makes a block. */
static void cut(block *b, uint32_t size)
{
    uint32_t left = size_of(b) - size;
    if (left < SMALLEST) return;
    b->tag -= left;
    block *rest = after(b);
    rest->tag = 0;
    set_free(rest, left);
}

/* Adds memory until a free block of at least `size` bytes ends the heap. 0 when there is no more. */
static int grow(uint32_t size)
{
    if (!heap.end) {
        heap.end = (block *)(((uintptr_t)&__heap_base + ALIGN - 1) & ~(uintptr_t)(ALIGN - 1));
        if ((uintptr_t)(heap.end + 1) > __builtin_wasm_memory_size(0) * PAGE &&
            __builtin_wasm_memory_grow(0, 1) == SIZE_MAX)
            return 0;
        heap.end->tag = 0;
    }
    uint32_t have = heap.end->tag & FREE_BEFORE ? heap.end->size_before : 0;
    uint64_t wanted_end = (uint64_t)(uintptr_t)heap.end - have + size + sizeof(block);
    size_t pages = __builtin_wasm_memory_size(0), wanted_pages = (size_t)((wanted_end + PAGE - 1) / PAGE);
    if (wanted_pages > MAX_PAGES) return 0;
    if (wanted_pages > pages) {
        if (__builtin_wasm_memory_grow(0, wanted_pages - pages) == SIZE_MAX) return 0;
        pages = wanted_pages;
    }
    block *old_end = heap.end;
    heap.end = (block *)(pages * PAGE - sizeof(block));
    heap.end->tag = 0;
    if (heap.end > old_end) set_free(old_end, (uint32_t)((uintptr_t)heap.end - (uintptr_t)old_end));
    return 1;
}

static uint32_t block_size(size_t bytes)
{
    size_t size = (bytes + sizeof(block) + ALIGN - 1) & ~(size_t)(ALIGN - 1);
    return (uint32_t)(size < SMALLEST ? SMALLEST : size);
}

static block *best_fit(uint32_t size)
{
    block *best = NULL;
    for (block *b = heap.free_list; b; b = b->next)
        if (size_of(b) >= size && (!best || size_of(b) < size_of(best))) best = b;
    return best;
}

void *malloc(size_t bytes)
{
    if (bytes > LARGEST) return NULL;
    uint32_t size = block_size(bytes);
    block *b = best_fit(size);
    if (!b) {
        if (!grow(size)) return NULL;
        b = best_fit(size);
    }
    take_from_list(b);
    set_used(b, size_of(b));
    cut(b, size);
    return b + 1;
}

void free(void *pointer)
{
    if (pointer) {
        block *b = (block *)pointer - 1;
        set_free(b, size_of(b));
    }
}

void *calloc(size_t count, size_t size)
{
    if (size && count > LARGEST / size) return NULL;
    size_t bytes = count * size;
    uint64_t old_end = (uint64_t)__builtin_wasm_memory_size(0) * PAGE;
    void *pointer = malloc(bytes);
    if (!pointer) return NULL;
    /* Memory that has just been added is all zeros: a tower's weights are not written twice. */
    uint64_t old_bytes = old_end > (uintptr_t)pointer ? old_end - (uintptr_t)pointer : 0;
    memset(pointer, 0, old_bytes < bytes ? (size_t)old_bytes : bytes);
    return pointer;
}

void *realloc(void *pointer, size_t bytes)
{
    if (!pointer) return malloc(bytes);
    if (bytes > LARGEST) return NULL;
    block *b = (block *)pointer - 1;
    uint32_t size = block_size(bytes), old_size = size_of(b);
    if (size > old_size) {
        block *next = after(b);
        int at_end = next == heap.end || (next->tag & FREE && after(next) == heap.end);
        if (at_end && !(next->tag & FREE && old_size + size_of(next) >= size) && !grow(size - old_size)) return NULL;
        if (next->tag & FREE && old_size + size_of(next) >= size) {
            take_from_list(next);
            set_used(b, old_size + size_of(next));
        } else {
            void *moved = malloc(bytes);
            if (moved) {
                memcpy(moved, pointer, old_size - sizeof(block));
                free(pointer);
            }
            return moved;
        }
    }
    cut(b, size);
    return pointer;
}

void *memcpy(void *restrict to, const void *restrict from, size_t n) { return __builtin_memcpy(to, from, n); }
void *memmove(void *to, const void *from, size_t n) { return __builtin_memmove(to, from, n); }
void *memset(void *to, int byte, size_t n) { return __builtin_memset(to, byte, n); }

int memcmp(const void *a, const void *b, size_t n)
{
    const unsigned char *p = a, *q = b;
    for (size_t i = 0; i < n; i++)
        if (p[i] != q[i]) return p[i] - q[i];
    return 0;
}

void *memchr(const void *bytes, int byte, size_t n)
{
    const unsigned char *p = bytes;
    for (size_t i = 0; i < n; i++)
        if (p[i] == (unsigned char)byte) return (void *)(p + i);
    return NULL;
}

size_t strlen(const char *text)
{
    size_t n = 0;
    while (text[n]) n++;
    return n;
}

int strncmp(const char *a, const char *b, size_t n)
{
    for (size_t i = 0; i < n; i++)
        if (a[i] != b[i] || !a[i]) return (unsigned char)a[i] - (unsigned char)b[i];
    return 0;
}

int strcmp(const char *a, const char *b) { return strncmp(a, b, SIZE_MAX); }

/* The compiler calls this for products of 128 bits, which it makes out of checks for overflow of 64. */
__int128 __multi3(__int128 a, __int128 b)
{
    const uint64_t low = UINT32_MAX, a_low = (uint64_t)a, b_low = (uint64_t)b;
    uint64_t p00 = (a_low & low) * (b_low & low), p01 = (a_low & low) * (b_low >> 32);
    uint64_t p10 = (a_low >> 32) * (b_low & low), p11 = (a_low >> 32) * (b_low >> 32);
    uint64_t middle = (p00 >> 32) + (p01 & low) + (p10 & low);
    uint64_t high =
        p11 + (p01 >> 32) + (p10 >> 32) + (middle >> 32) + a_low * (uint64_t)(b >> 64) + (uint64_t)(a >> 64) * b_low;
    return (__int128)((unsigned __int128)high << 64 | (middle << 32 | (p00 & low)));
}
