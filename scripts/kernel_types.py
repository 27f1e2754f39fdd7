"""Make the tables of kernel types in ebpfvm/dialects out of the BTF of kernels (for those who add a version).

    python scripts/kernel_types.py BTF-OF-7.2 _6_12=BTF-OF-6.12 _6_1=BTF-OF-6.1

BTF-OF-... is a kernel's /sys/kernel/btf/vmlinux, and the words before it are `types` in ebpfvm/dialects/offers.py. The
script writes kernel_types.json and kernel_names.txt for the first kernel, and for each of the others, such as 6.12,
kernel_types_6_12.json and kernel_names_6_12.txt with what differs from the kernel before it on the command line. The
lists in this file say which structs and enums get rows; structs that they hold by value follow.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

from ebpfvm.btf import parse
from ebpfvm.btf import types as t
from ebpfvm.dialects.kernel_types import INTS

HERE = Path(__file__).parent.parent / "ebpfvm" / "dialects"
STRUCTS = """
sk_buff sock sock_common tcp_sock tcp6_sock udp_sock udp6_sock unix_sock tcp_timewait_sock tcp_request_sock mptcp_sock
inet_sock inet_connection_sock inet_timewait_sock inet_request_sock request_sock socket sk_buff_head skb_shared_info
net_device net_device_stats netdev_queue net in_device dst_entry rtable neighbour fib_info Qdisc Qdisc_ops
qdisc_skb_cb qdisc_size_table netlink_ext_ack nlattr xdp_buff xdp_frame xdp_md xdp_rxq_info __sk_buff bpf_sock
bpf_sock_tuple bpf_sock_ops bpf_sock_ops_kern sk_msg sk_msg_md sk_reuseport_md sk_reuseport_kern bpf_sk_lookup
bpf_sk_lookup_kern bpf_fib_lookup bpf_tunnel_key bpf_redir_neigh bpf_flow_keys bpf_spin_lock bpf_timer bpf_wq
bpf_dynptr bpf_list_head bpf_list_node bpf_rb_root bpf_rb_node bpf_refcount bpf_res_spin_lock bpf_iter_num
bpf_iter_task bpf_iter_css bpf_iter_bits bpf_cpumask bpf_map bpf_prog bpf_prog_aux bpf_xdp_sock bpf_tcp_sock
bpf_perf_event_value bpf_pidns_info bpf_devmap_val bpf_cpumap_val bpf_lpm_trie_key bpf_cgroup_storage_key bpf_map_info
bpf_prog_info bpf_sysctl bpf_sockopt bpf_sockopt_kern bpf_sysctl_kern bpf_sock_addr bpf_sock_addr_kern
bpf_cgroup_dev_ctx bpf_nf_ctx nf_hook_state nf_conn nf_conn___init bpf_ct_opts nf_conntrack_tuple
nf_conntrack_tuple_hash bpf_xfrm_state_opts bpf_xfrm_info xfrm_state ip_tunnel_info bpf_fou_encap bpf_sk_buff_ptr
bpf_crypto_ctx bpf_crypto_params bpf_perf_link perf_event bpf_perf_event_data bpf_perf_event_data_kern pt_regs
bpf_raw_tracepoint_args iphdr ipv6hdr tcphdr udphdr ethhdr icmphdr icmp6hdr arphdr vlan_hdr vlan_ethhdr sctphdr
frag_hdr ipv6_opt_hdr ip_auth_hdr ip_esp_hdr gre_base_hdr vxlanhdr genevehdr sockaddr sockaddr_in sockaddr_in6
sockaddr_un in_addr in6_addr sockaddr_storage msghdr iov_iter flowi flowi4 flowi6 tcp_congestion_ops rate_sample
tcp_options_received tcp_skb_cb bpf_skb_data_end bpf_scratchpad skb_frame_desc tcf_proto tcf_result tcf_block
gnet_stats_basic_sync gnet_stats_queue hrtimer timer_list work_struct delayed_work rcu_head callback_head list_head
hlist_head hlist_node rb_node rb_root rb_root_cached llist_node llist_head refcount_struct kref spinlock raw_spinlock
mutex rw_semaphore rhash_head bucket_table rhashtable idr xarray timespec64 timeval __kernel_timespec rcu_work
wait_queue_head cpumask task_struct thread_info signal_struct sighand_struct mm_struct vm_area_struct files_struct
fdtable file inode dentry path vfsmount mount super_block qstr linux_binprm cred user_namespace pid_namespace nsproxy
uts_namespace new_utsname mnt_namespace ns_common pid upid cgroup cgroup_subsys_state cgroup_root cgroup_namespace
css_set kernfs_node mem_cgroup rq cfs_rq sched_entity percpu_ref device kobject bus_type bpf_iter_meta bpf_iter__task
bpf_iter__bpf_map bpf_iter__bpf_map_elem bpf_iter__tcp bpf_iter__udp bpf_iter__unix bpf_iter__netlink bpf_iter__cgroup
seq_file trace_entry trace_event_raw_sys_enter trace_event_raw_sys_exit trace_event_raw_sched_switch
trace_event_raw_sched_process_exec trace_event_raw_sched_process_exit trace_event_raw_sched_process_fork
trace_event_raw_net_dev_template trace_event_raw_kfree_skb trace_event_raw_consume_skb
trace_event_raw_inet_sock_set_state trace_event_raw_tcp_event_sk_skb trace_event_raw_sched_wakeup_template request
gendisk block_device bio page folio ring_buffer_event pid_link task_group cpu_stop_work lsm_ctx kernel_cap_t kuid_t
sk_filter skb_ext nh_info fib_nh_common fib6_info rt6_info sk_psock sk_psock_progs ipv6_pinfo raw_sock raw6_sock
netlink_sock packet_sock proto proto_ops sock_cgroup_data inet_bind_bucket
bpf_array bpf_htab bpf_stab bpf_shtab bpf_dtab bpf_cpu_map xsk_map bpf_queue_stack lpm_trie bpf_ringbuf_map
bpf_bloom_filter bpf_stack_map bpf_local_storage_map bpf_cgroup_storage_map reuseport_array bpf_arena bpf_map_ops
bpf_flow_dissector
"""
ENUMS = """
bpf_func_id bpf_map_type bpf_prog_type bpf_attach_type bpf_cmd bpf_link_type bpf_ret_code tcx_action_base xdp_action
bpf_adj_room_mode bpf_hdr_start_off sk_action sk_pass bpf_stats_type bpf_netns_type sk_rst_reason skb_drop_reason
pid_type zone_type node_stat_item memcg_stat_item vm_event_item cgroup_subsys_id netdev_state_t nf_inet_hooks
bpf_task_fd_type bpf_core_relo_kind bpf_cgroup_iter_order hrtimer_mode hrtimer_restart tcp_ca_state pkt_hash_types
sock_flags qdisc_state_t net_device_flags netdev_priv_flags rw_hint migrate_reason perf_type_id perf_sw_ids
perf_event_sample_format perf_branch_sample_type TCP_state sock_type socket_state ip_conntrack_info
ip_conntrack_status bpf_lru_list_type bpf_access_type bpf_dynptr_type bpf_iter_task_type lsm_event
task_work_notify_mode task_work_mode tk_offsets cpuhp_state psi_states uclamp_id
"""
TYPEDEFS = """
u8 u16 u32 u64 s8 s16 s32 s64 __u8 __u16 __u32 __u64 __s8 __s16 __s32 __s64 __be16 __be32 __be64 __sum16 __wsum __le16
__le32 __le64 bool size_t ssize_t pid_t uid_t gid_t kuid_t kgid_t atomic_t atomic64_t spinlock_t possible_net_t
sk_buff_data_t socket_lock_t netdev_features_t dev_t umode_t loff_t sector_t gfp_t ktime_t refcount_t cpumask_t
kernel_cap_t netmem_ref time64_t uint8_t uint16_t uint32_t uint64_t uintptr_t
"""


class Table:
    """Rows of one kernel's types, in the form that ebpfvm/dialects/kernel_types.py explains."""

    def __init__(self, btf: t.Btf) -> None:
        self.btf = btf
        self.rows: dict[str, str] = {}

    def fill(self) -> dict[str, str]:
        for name in STRUCTS.split():
            for kind in (t.Kind.STRUCT, t.Kind.UNION):
                for number in self.btf.find_all(name, kind)[:1]:
                    self.composite(name, number)
        for name in ENUMS.split():
            for kind in (t.Kind.ENUM, t.Kind.ENUM64):
                for number in self.btf.find_all(name, kind)[:1]:
                    self.enum(name, self.btf[number])
        for name in TYPEDEFS.split():
            for number in self.btf.find_all(name, t.Kind.TYPEDEF)[:1]:
                self.rows["t:" + name] = "t " + self.text("t:" + name, self.btf.resolve(number))
        return dict(sorted(self.rows.items()))

    def enum(self, name: str, found: t.Type) -> None:
        assert isinstance(found, t.Enum | t.Enum64)
        sign = "-" if found.signed else ""
        self.rows["e:" + name] = f"e {sign}{found.size} " + " ".join(f"{key}={value}" for key, value in found.values)

    def composite(self, name: str, number: int) -> None:
        if name in self.rows:
            return
        found = self.btf[number]
        assert isinstance(found, t.Struct | t.Union)
        self.rows[name] = ""  # against going round
        members = [f"{item.name}:{item.bit_offset}:{self.member(f'{name}.{index}', item)}"
                   for index, item in enumerate(found.members)]
        self.rows[name] = " ".join([f"{'u' if isinstance(found, t.Union) else 's'} {found.size}", *members])

    def member(self, name: str, item: t.Member) -> str:
        text, tilde, enum = self.text(name, item.type).partition("~")
        return f"{text}b{item.bitfield_size}{tilde}{enum}" if item.bitfield_size else text + tilde + enum

    def text(self, name: str, number: int) -> str:
        """The word for a type; a struct that is embedded gets a row."""
        found = self.btf.resolved(number)
        if isinstance(found, t.Struct | t.Union):
            key = found.name or name
            self.composite(key, self.btf.resolve(number))
            return "=" + key
        if isinstance(found, t.Array):
            return f"{self.text(name, found.type)}[{found.nelems}]"
        if isinstance(found, t.Ptr):
            return "*" + self.pointee(found.type)
        if isinstance(found, t.Enum | t.Enum64):
            return f"e{'-' if found.signed else ''}{found.size}" + (f"~{found.name}" if found.name else "")
        if isinstance(found, t.Int):
            return next(word for word, made in INTS.items() if made == (found.name, found.size, found.signed))
        if isinstance(found, t.FuncProto):
            return "f"
        if isinstance(found, t.Void):
            return ""
        raise SystemExit(f"{name}: {self.btf.describe(number)} has no word")

    def pointee(self, number: int) -> str:
        tags = "".join(f"@{tag}@" for tag in self.btf.type_tags(number))
        found = self.btf.resolved(number)
        name = found.name if isinstance(found, t.Struct | t.Union | t.Fwd) else ""
        if not name:
            word = self.text("", number) if not isinstance(found, t.Struct | t.Union) else ""
            return tags + (f"({word})" if word else "")
        union = name and (isinstance(found, t.Union) or (isinstance(found, t.Fwd) and found.is_union))
        return tags + "|" * bool(union) + name


def names(btf: t.Btf) -> set[str]:
    """All names that programs can ask for, each behind the letter of its kind."""
    letters = {t.Kind.STRUCT: "s", t.Kind.UNION: "u", t.Kind.ENUM: "e", t.Kind.ENUM64: "e", t.Kind.TYPEDEF: "t",
               t.Kind.VAR: "v"}
    return {letter + ":" + name for kind, letter in letters.items() for name in btf.names(kind)}


def write_names(path: Path, found: dict[str, list[str]]) -> None:
    """Names by kind, a line each."""
    path.write_text("".join(f"{kind} {' '.join(sorted(items))}\n" for kind, items in sorted(found.items())))


def by_kind(found: set[str], sign: str = "") -> dict[str, list[str]]:
    kinds: dict[str, list[str]] = {}
    for item in found:
        kind, _, name = item.partition(":")
        kinds.setdefault(sign + kind, []).append(name)
    return kinds


def main() -> None:
    rows: dict[str, str] = {}
    known: set[str] = set()
    for word in sys.argv[1:]:
        end, _, path = word.rpartition("=")
        btf = parse(Path(path).read_bytes(), check=False)
        new, here = Table(btf).fill(), names(btf)
        differing = {key: new.get(key) for key in sorted({*rows, *new}) if rows.get(key) != new.get(key)}
        text = ",\n".join(f"{json.dumps(key)}:{json.dumps(row)}" for key, row in (differing if end else new).items())
        (HERE / f"kernel_types{end}.json").write_text("{\n" + text + "\n}\n")
        changed = by_kind(here - known, "+") | by_kind(known - here, "-") if end else by_kind(here)
        write_names(HERE / f"kernel_names{end}.txt", changed)
        rows, known = new, here


if __name__ == "__main__":
    main()
