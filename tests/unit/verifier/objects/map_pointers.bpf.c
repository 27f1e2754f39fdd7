// Pointers compared with registers, and maps read through their pointers.
#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>
struct val { __u64 a, b; };
struct { __uint(type, BPF_MAP_TYPE_HASH); __uint(max_entries, 16); __type(key, __u32); __type(value, struct val); } h SEC(".maps");
struct { __uint(type, BPF_MAP_TYPE_ARRAY); __uint(max_entries, 16); __type(key, __u32); __type(value, struct val); } a SEC(".maps");
struct { __uint(type, BPF_MAP_TYPE_PERCPU_HASH); __uint(max_entries, 16); __type(key, __u32); __type(value, struct val); } ph SEC(".maps");
struct { __uint(type, BPF_MAP_TYPE_LPM_TRIE); __uint(max_entries, 16); __uint(map_flags, 1); __type(key, __u64); __type(value, struct val); } lpm SEC(".maps");
struct { __uint(type, BPF_MAP_TYPE_RINGBUF); __uint(max_entries, 4096); } ring SEC(".maps");
struct { __uint(type, BPF_MAP_TYPE_SOCKMAP); __uint(max_entries, 4); __type(key, __u32); __type(value, __u32); } sm SEC(".maps");
struct { __uint(type, BPF_MAP_TYPE_DEVMAP); __uint(max_entries, 4); __type(key, __u32); __type(value, __u32); } dm SEC(".maps");
struct { __uint(type, BPF_MAP_TYPE_QUEUE); __uint(max_entries, 4); __type(value, __u32); } q SEC(".maps");
struct { __uint(type, BPF_MAP_TYPE_LRU_PERCPU_HASH); __uint(max_entries, 4); __type(key, __u32); __type(value, __u32); } lph SEC(".maps");
struct { __uint(type, BPF_MAP_TYPE_PERCPU_ARRAY); __uint(max_entries, 4); __type(key, __u32); __type(value, __u32); } pa SEC(".maps");
struct { __uint(type, BPF_MAP_TYPE_BLOOM_FILTER); __uint(max_entries, 4); __type(value, __u32); } bf SEC(".maps");
struct { __uint(type, BPF_MAP_TYPE_SK_STORAGE); __uint(map_flags, 1); __type(key, int); __type(value, __u32); } ss SEC(".maps");
struct inner { __uint(type, BPF_MAP_TYPE_ARRAY); __uint(max_entries, 4); __type(key, __u32); __type(value, __u32); } in1 SEC(".maps");
struct { __uint(type, BPF_MAP_TYPE_ARRAY_OF_MAPS); __uint(max_entries, 4); __type(key, __u32); __array(values, struct inner); } outer SEC(".maps") = { .values = { &in1 } };
struct bpf_map { __u32 map_type, key_size, value_size, max_entries; __u32 id; char name[16]; } __attribute__((preserve_access_index));
struct bpf_array { struct bpf_map map; __u32 elem_size; } __attribute__((preserve_access_index));
struct bpf_htab { struct bpf_map map; __u32 n_buckets; } __attribute__((preserve_access_index));
#define T(name) SEC("tc") int name(struct __sk_buff *skb)
#define LOOK(m) __u32 k = 1; struct val *v = bpf_map_lookup_elem(&m, &k)
T(null_register) { LOOK(h); __u64 r = 0; asm volatile("%[z] = 0; if %[v] == %[z] goto 1f; %[r] = *(u64 *)(%[v] + 0); 1:" : [r] "+r"(r) : [v] "r"(v), [z] "r"(0L)); return r; }
T(null_register_swapped) { LOOK(h); __u64 r = 0; asm volatile("%[z] = 0; if %[z] == %[v] goto 1f; %[r] = *(u64 *)(%[v] + 0); 1:" : [r] "+r"(r) : [v] "r"(v), [z] "r"(0L)); return r; }
T(null_register_ne) { LOOK(h); __u64 r = 0; asm volatile("%[z] = 0; if %[v] != %[z] goto 1f; goto 2f; 1: %[r] = *(u64 *)(%[v] + 0); 2:" : [r] "+r"(r) : [v] "r"(v), [z] "r"(0L)); return r; }
T(null_register_wrong_side) { LOOK(h); __u64 r = 0; asm volatile("%[z] = 0; if %[v] != %[z] goto 1f; %[r] = *(u64 *)(%[v] + 0); 1:" : [r] "+r"(r) : [v] "r"(v), [z] "r"(0L)); return r; }
T(one_register) { LOOK(h); __u64 r = 0; asm volatile("%[z] = 1; if %[v] == %[z] goto 1f; %[r] = *(u64 *)(%[v] + 0); 1:" : [r] "+r"(r) : [v] "r"(v), [z] "r"(0L)); return r; }
T(null_spilled) { LOOK(h); __u64 r = 0; asm volatile("r7 = 0; *(u64 *)(r10 - 64) = r7; r7 = *(u64 *)(r10 - 64); if %[v] == r7 goto 1f; %[r] = *(u64 *)(%[v] + 0); 1:" : [r] "+r"(r) : [v] "r"(v) : "r7"); return r; }
T(null_unknown) { LOOK(h); __u64 r = 0; asm volatile("if %[v] == %[z] goto 1f; %[r] = *(u64 *)(%[v] + 0); 1:" : [r] "+r"(r) : [v] "r"(v), [z] "r"((long)skb->len)); return r; }
T(null_and_pointer) { LOOK(h); struct val *w = bpf_map_lookup_elem(&h, &k); if (!w) return 0; __u64 r = 0; asm volatile("if %[v] != %[w] goto 1f; %[r] = *(u64 *)(%[v] + 0); 1:" : [r] "+r"(r) : [v] "r"(v), [w] "r"(w)); return r; }
T(null_32) { LOOK(h); __u64 r = 0; asm volatile("if w0 == 0 goto 1f; 1: %[r] = 0" : [r] "+r"(r) : [v] "r"(v)); return r; }
T(sock_null_register) { struct bpf_sock *sk = skb->sk; __u64 r = 0; asm volatile("%[z] = 0; if %[v] == %[z] goto 1f; %[r] = *(u32 *)(%[v] + 4); 1:" : [r] "+r"(r) : [v] "r"(sk), [z] "r"(0L)); return r; }
T(acquired_null_register) { struct bpf_sock_tuple t = {}; struct bpf_sock *sk = bpf_sk_lookup_tcp(skb, &t, 12, -1, 0); __u64 r = 0, z = 0; asm volatile("" : "+r"(z)); asm volatile("%[z] = 0; if %[v] == %[z] goto +1; goto +2; r0 = 0; exit;" : [z] "+r"(z) : [v] "r"(sk)); bpf_sk_release(sk); return r; }
// maps
T(hash_max) { return ((struct bpf_map *)&h)->max_entries; }
T(array_max) { return ((struct bpf_map *)&a)->max_entries; }
T(array_elem) { return ((struct bpf_array *)&a)->elem_size; }
T(hash_buckets) { return ((struct bpf_htab *)&h)->n_buckets; }
T(percpu_hash_key) { return ((struct bpf_map *)&ph)->key_size; }
T(lpm_value) { return ((struct bpf_map *)&lpm)->value_size; }
T(sockmap_id) { return ((struct bpf_map *)&sm)->id; }
T(devmap_max) { return ((struct bpf_map *)&dm)->max_entries; }
T(queue_max) { return ((struct bpf_map *)&q)->max_entries; }
T(lru_percpu_max) { return ((struct bpf_map *)&lph)->max_entries; }
T(percpu_array_max) { return ((struct bpf_map *)&pa)->max_entries; }
T(bloom_max) { return ((struct bpf_map *)&bf)->max_entries; }
T(storage_max) { return ((struct bpf_map *)&ss)->max_entries; }
T(outer_max) { return ((struct bpf_map *)&outer)->max_entries; }
T(inner_max) { __u32 k = 0; void *m = bpf_map_lookup_elem(&outer, &k); return m ? ((struct bpf_map *)m)->max_entries : 0; }
T(inner_unchecked) { __u32 k = 0; void *m = bpf_map_lookup_elem(&outer, &k); return ((struct bpf_map *)m)->max_entries; }
T(map_name) { return ((struct bpf_map *)&h)->name[0]; }
T(map_byte) { return *((volatile __u8 *)&h + 40) & 1; }
T(map_word) { return *((volatile __u64 *)&h) != 0; }
T(map_pointer_half) { return *((volatile __u32 *)&h); }
T(map_ops_followed) { void **ops = *(void ***)&h; return ops[0] != 0; }
T(map_beyond) { return *((volatile __u32 *)((char *)&h + 100000)); }
T(map_negative) { return *((volatile __u32 *)((char *)&h - 8)); }
T(map_variable) { return *((volatile __u32 *)((char *)&h + (skb->mark & 4))); }
T(map_written) { ((struct bpf_map *)&h)->max_entries = 1; return 0; }
T(map_written_before) { *((volatile __u32 *)((char *)&h - 8)) = 1; return 0; }
T(map_added) { __sync_fetch_and_add(&((struct bpf_map *)&h)->max_entries, 1); return 0; }
char _license[] SEC("license") = "GPL";
