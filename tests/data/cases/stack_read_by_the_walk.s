# a dead stack slot that only the pass before the walk takes for read
# type sched_cls
# kernel linux 6.18
# map 0: array key 4 value 16 entries 2
# map 1: hash key 8 value 24 entries 8
# map 2: array key 4 value 64 entries 1
# map 3: queue key 0 value 8 entries 4
# map 4: ringbuf key 0 value 0 entries 4096
# map 5: percpu_array key 4 value 32 entries 3
# map 6: lpm_trie key 8 value 8 entries 4
# map 7: lru_hash key 4 value 8 entries 4
# map 8: array key 4 value 32 entries 2
#! ebpfvm.case/1
#! eNrFV8tu6zYQ/RetveBzSOYHuumi+yAwhuQwMaI4ri1f5DbIv3eolyPd69y2gFEtLJEcDs+8OMfvzeH4+njEl+buvdnjCzV3/Uyzabrvhzo6pS
#! fK29SeeAq7DtMTT/L3iVK3e90Pg3aXaH+q4r/98TuPS4uPp+ZOsFhLdMDY8lrB9kQ80x3Pqdu+Hlhgf27bSe12PLD52DSxK7x634RCUUghpBeL
#! J/rlW03rciEmhRnXp7FdrY/7zM92z9sWO+qTZ0kc33olZ0a5SQMtNUq5GpvV2F1BoP6lXlzgTrOhZaE1TX5R6sq8/fm8EBCAHGuFBAUIGDdoZx
#! z7FaSW/a/qf3X/y5JOOMWyVRJ6CegloEpw6lwLuVu9tfhHIb+4SI6BmVyQxM+Dvny0WJ8zvWF1ziBpprG6EkK1OneWp+WJ5mK5ZRdrdrRjB1vg
#! E2an8yEAtjjt+jlb+jBoiLwLQEIaA8MzdedlVINR97PLH/py64u1nPd9Udfauxcb97C5l1JvfH3rsAn1bexGigfe9FylWfKd6/UFazXfv0+XBh
#! 6P+J2D+Uzft6fdXzxlNs03bM80DiXUTW9b2nfHHfFe1SvZXi6O8TJiTc2wRG/dEfulqnU4SExa52FvynCt7PZ7Ok6DjB0O3x+bGeYTnp4WKP0S
#! pTIrlP4KylHRjWD+0puwximv4Iy7x9vB/PNMZ1rAFEuYfoXSXEE5KboRzuNu/xjP5SukYo1UBLgCtmq7HdYDHdPhvP1lBmi1QqyvwB0U3g5we3
#! jZVghfldXXeSBnrKOeWyE9nrc/XADmv2Us6/ofy/+H4F+7TNvX9Ez5C6RyidSMSOV1mNwI8g5bJoOVr7W7/fmt2cBGcs/gPYdzN/SFYUdjuIVp
#! U1wALw24oiDryFzEQ86GGyqCz1CSEkEEVYxSpic1lAiSclq6kHSllztqc209TZe2u32mN7bZQ20qh+duBO82w0WyZWMPtUjvlDB+blbvjRh6l6
#! zfsVKifOnSjBW4RZaiuHFqkBE8kqHIrEGpnL1VPjALcpot8IIQkCpvVVVXIGGZHxnWEVKQNmHCkkCoSCqDAikVGa0pi0TBaSuiAZU9apUVe0IF
#! p2KJFosl40UozgZnZEJGkjxgMSbyZ/Q+kdTWWWeIkSKyswqzAXaDMd6JEIqvmOxgJvQmr+hONdNKi0A+C0BXkmT3rilRNUSURBG09bHnJ83HR8
#! 3QKawRMjIptdm5wk6RJQTmHgFNCaTBR4hOkS4pBGGyzYWdkZiuKO9D9jprzdzGUjJRFo8xCAW4CPO3FvfbLu2GVtdX7Z22n2JpR+tmvAGddHyi
#! 1tpYjeyRQiRNjpiyNLFknkTQKVprtIWCShfmNlElWVJS1XGu16lmnaP2mZdWGb86l6mVIU4YlAJiNMxlDVLwqpBDMNYjZwGnfdA+k3I2C2Mksc
#! 9idNpzMJd+FQTRZlOytiZqTgygQqIYCEIGy+ZQ8TmTl9HImiKS3Ri9cikFyBaCDdY7Gzk7PZPzROSj/OzXTw7sq+AT6ZwM8sJJTJwjRsQYE6Mo
#! OWdwFBNCRBJQuBJ0RmDnplK76prxVt4BKStWwvxfh4zE8bdSUI5SJhIRhIbC6R+kBuOitHMtTalYr0HnnCiqJOszmmxyNQelQjZTZYxaiZs+l5
#! S4YBKU+J+MD4iJTVGxOrd/Bt8F/qckip1zaEwYjvHDx9/qhUz2
r6 = r1
call 0x7
if w0 <= w0 goto +0x3
*(u64 *)(r10 - 0x8) = -0x80000000
r2 = *(s32 *)(r10 - 0x4)
goto +0x2
r1 = *(u16 *)(r6 + 0xa4)
r1 = *(u8 *)(r6 + 0x26)
r8 = 0x0
if r8 > 0xe goto +0x1f
r1 = map[id:3] ll
*(u32 *)(r10 - 0x80) = 0x0
*(u32 *)(r10 - 0x7c) = 0x2
r2 = r10
r2 += -0x80
call 0x58
*(u32 *)(r10 - 0x8) = 0x5
*(u32 *)(r10 - 0x4) = 0x0
r2 = r10
r2 += -0x8
r1 = map[id:5] ll
call 0x1
r9 = r0
if r9 == 0x0 goto +0xe
*(u8 *)(r9 + 0x1e) = 0x3f
*(u64 *)(r10 - 0x30) = r8
r2 = r10
r2 += -0x30
r1 = map[id:1] ll
call 0x1
r7 = r0
if r7 == 0x0 goto +0x4
r2 = 0x0
*(u32 *)(r7 + 0x10) = r2
r2 = -0x1
w2 -= -0x5db1c133
*(u64 *)(r10 - 0x10) = r6
goto +0xd
r1 = 0x3
*(u64 *)(r10 - 0x20) = -0x56f79f4e
lock *(u32 *)(r10 - 0x20) += r1
r2 = r8
r2 &= 0x18
r3 = r10
*(u64 *)(r10 - 0x40) = 0x1
*(u64 *)(r10 - 0x38) = 0x0
*(u64 *)(r10 - 0x30) = 0x0
*(u64 *)(r10 - 0x28) = 0x1
r3 += -0x40
r3 += r2
r9 = *(u16 *)(r3 + 0x2)
r8 += 0x1
if r8 s< 0x8 goto -0x2f
*(u64 *)(r10 - 0x18) = 0x1
lock *(u64 *)(r10 - 0x18) |= r8
r8 = le64 r8
r8 |= -0x2
r1 = map[id:4] ll
r2 = 0x10
r3 = 0x0
call 0x83
r9 = r0
if r9 == 0x0 goto +0x4
r4 = *(u8 *)(r10 - 0x13)
r1 = r9
r2 = 0x0
call 0x85
r1 = r6
r2 = r6
*(u32 *)(r10 - 0x80) = r8
*(u32 *)(r10 - 0x7c) = 0x1020304
*(u32 *)(r10 - 0x78) = r8
*(u32 *)(r10 - 0x74) = 0x2
*(u32 *)(r10 - 0x70) = 0x1
*(u32 *)(r10 - 0x6c) = 0x2
*(u32 *)(r10 - 0x68) = 0x2
*(u32 *)(r10 - 0x64) = 0x2
r3 = r10
r3 += -0x80
call +0x1d
*(u32 *)(r10 - 0x8) = 0x0
*(u32 *)(r10 - 0x4) = 0x0
r2 = r10
r2 += -0x8
r1 = map[id:2] ll
call 0x1
r9 = r0
if r9 == 0x0 goto +0x12
*(u64 *)(r9 + 0x10) = 0x3f
r1 = *(u32 *)(r10 - 0x18)
r8 s/= r8
r7 = r1
r7 &= 0x10
r1 = r10
*(u64 *)(r10 - 0x40) = 0x1
*(u64 *)(r10 - 0x38) = 0x2
*(u64 *)(r10 - 0x30) = 0x0
*(u64 *)(r10 - 0x28) = 0x1
r1 += -0x40
r1 += r7
r2 = *(u16 *)(r1 + 0x4)
if w7 s<= w2 goto +0x4
r1 = r8
r2 = r6
r3 = r8
call +0x22
r0 = 0x1
exit
r6 = r1
r4 = 0x7fffffff
*(u64 *)(r10 - 0x40) = r4
*(u32 *)(r10 - 0x80) = 0x1020304
*(u32 *)(r10 - 0x7c) = r4
*(u32 *)(r10 - 0x78) = 0x0
*(u32 *)(r10 - 0x74) = 0x1
*(u32 *)(r10 - 0x70) = 0x0
*(u32 *)(r10 - 0x6c) = r4
*(u32 *)(r10 - 0x68) = r4
*(u32 *)(r10 - 0x64) = 0x0
r1 = r10
r1 += -0x80
r2 = r6
*(u32 *)(r10 - 0x80) = 0x2
*(u32 *)(r10 - 0x7c) = 0x1
*(u32 *)(r10 - 0x78) = 0x1020304
*(u32 *)(r10 - 0x74) = 0x1
*(u32 *)(r10 - 0x70) = 0x1
*(u32 *)(r10 - 0x6c) = 0x0
*(u32 *)(r10 - 0x68) = 0x0
*(u32 *)(r10 - 0x64) = 0x2
r3 = r10
r3 += -0x80
call +0x1
exit
r6 = r2
r8 = r6
r4 = 0xff
*(u64 *)(r10 - 0x10) = -0x1
r0 = 0x1
exit
r6 = r2
if r3 > 0x1 goto +0x0
*(u64 *)(r10 - 0x10) = 0xff
*(u8 *)(r10 - 0xa) = r3
r9 = *(u32 *)(r10 - 0x10)
r0 = 0x0
exit
