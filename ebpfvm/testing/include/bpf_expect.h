/* SPDX-License-Identifier: MIT */
/*
 * What is expected of a program, in the declaration tags that Linux's own tests use. `ebpfvm test` reads them; so does
 * the test runner of a kernel tree. The macros have the names that they have there. Compile with clang -g.
 *
 *   SEC("tc") __failure __msg("R1 invalid mem access 'scalar'") int broken(struct __sk_buff *skb) ...
 *   SEC("tc") __success __retval(2) int drop(struct __sk_buff *skb) ...
 *
 * A message is looked for after the place where the previous one was found. Text between {{ and }} is an extended
 * regular expression. Names that end in _unpriv are about a load by a process without capabilities.
 */
#ifndef BPF_EXPECT_H
#define BPF_EXPECT_H

#define EXPECT_TEXT_(x) #x
#define EXPECT_TEXT(x) EXPECT_TEXT_(x)
/* The number keeps equal tags apart, and keeps them in order. */
#define EXPECT_TAG(tag) __attribute__((btf_decl_tag("comment:" EXPECT_TEXT(__COUNTER__) ":" tag)))

/* The verdict, and the texts that the verifier's log must have or must not have. */
#define __success                  EXPECT_TAG("test_expect_success")
#define __failure                  EXPECT_TAG("test_expect_failure")
#define __msg(text)                EXPECT_TAG("test_expect_msg=" text)
#define __not_msg(text)            EXPECT_TAG("test_expect_not_msg=" text)
#define __success_unpriv           EXPECT_TAG("test_expect_success_unpriv")
#define __failure_unpriv           EXPECT_TAG("test_expect_failure_unpriv")
#define __msg_unpriv(text)         EXPECT_TAG("test_expect_msg_unpriv=" text)
#define __not_msg_unpriv(text)     EXPECT_TAG("test_expect_not_msg_unpriv=" text)

/* The result of a test run on a packet of 64 zero bytes. */
#define __retval(number)           EXPECT_TAG("test_retval=" EXPECT_TEXT(number))
#define __retval_unpriv(number)    EXPECT_TAG("test_retval_unpriv=" EXPECT_TEXT(number))

/* How the program is loaded. */
#define __log_level(number)        EXPECT_TAG("test_log_level=" #number)
#define __flag(flag)               EXPECT_TAG("test_prog_flags=" #flag)
#define __description(text)        EXPECT_TAG("test_description=" text)
#define __caps_unpriv(caps)        EXPECT_TAG("test_caps_unpriv=" #caps)
#define __btf_path(path)           EXPECT_TAG("test_btf_path=" path)

/* A program that is loaded beside each of the others, and is no test itself. */
#define __auxiliary                EXPECT_TAG("test_auxiliary")
#define __auxiliary_unpriv         EXPECT_TAG("test_auxiliary_unpriv")

/* Where the test is run: architectures, with or without a JIT compiler. */
#define __arch(name)               EXPECT_TAG("test_arch=" name)
#define __arch_x86_64              __arch("X86_64")
#define __arch_arm64               __arch("ARM64")
#define __arch_riscv64             __arch("RISCV64")
#define __arch_s390x               __arch("s390x")
#define __load_if_JITed()          EXPECT_TAG("load_mode=jited")
#define __load_if_no_JITed()       EXPECT_TAG("load_mode=no_jited")

#define POINTER_VALUE 0xbadcafe /* __retval(POINTER_VALUE): any result */
#define TEST_DATA_LEN 64
#define __naked __attribute__((naked))

#endif
