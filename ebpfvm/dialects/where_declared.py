"""Which file declares which helpers, kfuncs and map types, so that a program imports only what it uses.

Written by `python scripts/where_declared.py`; `declared` says how it is used.
"""

from __future__ import annotations

from typing import Final

HELPERS: Final = {
    "cgroup": (
        "bpf_get_cgroup_classid bpf_skb_cgroup_classid bpf_skb_cgroup_id bpf_skb_ancestor_cgroup_id "
        "bpf_skb_under_cgroup bpf_get_current_cgroup_id bpf_get_current_ancestor_cgroup_id "
        "bpf_current_task_under_cgroup bpf_sk_cgroup_id bpf_sk_ancestor_cgroup_id bpf_get_retval bpf_set_retval "
        "bpf_sysctl_get_name bpf_sysctl_get_current_value bpf_sysctl_get_new_value bpf_sysctl_set_new_value"),
    "conntrack": "",
    "critical_sections": "",
    "csum": (
        "bpf_l3_csum_replace bpf_l4_csum_replace bpf_csum_diff bpf_csum_update bpf_csum_level"),
    "dynptr": (
        "bpf_dynptr_from_mem bpf_dynptr_read bpf_dynptr_write bpf_dynptr_data"),
    "graph": "",
    "iters": "",
    "kobj": "",
    "kptr": (
        "bpf_kptr_xchg"),
    "lists": "",
    "loop": (
        "bpf_loop bpf_tail_call"),
    "map_helpers": (
        "bpf_map_lookup_elem bpf_map_update_elem bpf_map_delete_elem bpf_map_push_elem bpf_map_pop_elem "
        "bpf_map_peek_elem bpf_map_lookup_percpu_elem bpf_for_each_map_elem"),
    "map_kind": "",
    "nofault": (
        "bpf_probe_read_kernel bpf_probe_read_kernel_str"),
    "packet_bytes": "",
    "printf": "",
    "qdisc_kfuncs": "",
    "redirect": (
        "bpf_redirect bpf_redirect_peer bpf_redirect_neigh bpf_clone_redirect bpf_check_mtu bpf_fib_lookup "
        "bpf_redirect_map"),
    "ringbuf_helpers": (
        "bpf_ringbuf_output bpf_ringbuf_reserve bpf_ringbuf_submit bpf_ringbuf_discard bpf_ringbuf_query "
        "bpf_ringbuf_reserve_dynptr bpf_ringbuf_submit_dynptr bpf_ringbuf_discard_dynptr bpf_perf_event_output "
        "bpf_user_ringbuf_drain"),
    "skb_helpers": (
        "bpf_skb_load_bytes bpf_skb_load_bytes_relative bpf_skb_store_bytes bpf_skb_pull_data bpf_skb_tc_classify"),
    "skb_meta": (
        "bpf_get_hash_recalc bpf_set_hash_invalid bpf_set_hash bpf_skb_change_type bpf_skb_ecn_set_ce "
        "bpf_skb_set_tstamp bpf_get_route_realm bpf_get_socket_cookie bpf_get_socket_uid"),
    "skb_room": (
        "bpf_skb_change_head bpf_skb_change_tail bpf_skb_change_proto bpf_skb_adjust_room bpf_skb_vlan_push "
        "bpf_skb_vlan_pop"),
    "sock_helpers": (
        "bpf_sk_lookup_tcp bpf_sk_lookup_udp bpf_skc_lookup_tcp bpf_sk_release bpf_sk_fullsock bpf_tcp_sock "
        "bpf_get_listener_sock bpf_sk_assign bpf_get_netns_cookie bpf_skc_to_tcp6_sock bpf_skc_to_tcp_sock "
        "bpf_skc_to_tcp_timewait_sock bpf_skc_to_tcp_request_sock bpf_skc_to_udp6_sock bpf_skc_to_unix_sock "
        "bpf_skc_to_mptcp_sock bpf_sock_from_file bpf_setsockopt bpf_getsockopt bpf_sock_ops_cb_flags_set "
        "bpf_load_hdr_opt bpf_store_hdr_opt bpf_reserve_hdr_opt bpf_bind bpf_msg_apply_bytes bpf_msg_cork_bytes "
        "bpf_msg_pull_data bpf_msg_push_data bpf_msg_pop_data"),
    "sockmap_helpers": (
        "bpf_sk_redirect_map bpf_sk_redirect_hash bpf_msg_redirect_map bpf_msg_redirect_hash bpf_sock_map_update "
        "bpf_sock_hash_update bpf_sk_select_reuseport"),
    "storage": (
        "bpf_sk_storage_get bpf_sk_storage_delete bpf_task_storage_get bpf_task_storage_delete "
        "bpf_inode_storage_get bpf_inode_storage_delete bpf_cgrp_storage_get bpf_cgrp_storage_delete "
        "bpf_get_local_storage"),
    "strings": "",
    "syncookie": (
        "bpf_tcp_raw_gen_syncookie_ipv4 bpf_tcp_raw_gen_syncookie_ipv6 bpf_tcp_raw_check_syncookie_ipv4 "
        "bpf_tcp_raw_check_syncookie_ipv6 bpf_tcp_check_syncookie bpf_tcp_gen_syncookie"),
    "task_helpers": (
        "bpf_probe_read bpf_probe_read_str bpf_probe_read_user bpf_probe_read_user_str bpf_probe_write_user "
        "bpf_copy_from_user bpf_copy_from_user_task bpf_get_current_pid_tgid bpf_get_current_uid_gid "
        "bpf_get_current_comm bpf_get_ns_current_pid_tgid bpf_get_current_task bpf_get_current_task_btf "
        "bpf_task_pt_regs bpf_find_vma bpf_send_signal bpf_send_signal_thread bpf_perf_event_read "
        "bpf_perf_event_read_value bpf_perf_prog_read_value bpf_read_branch_records bpf_get_branch_snapshot "
        "bpf_get_stackid bpf_get_stack bpf_get_task_stack bpf_skb_output bpf_xdp_output bpf_override_return "
        "bpf_get_func_ip bpf_get_attach_cookie bpf_get_func_arg bpf_get_func_ret bpf_get_func_arg_cnt "
        "bpf_seq_printf bpf_seq_write bpf_seq_printf_btf bpf_snprintf_btf bpf_d_path bpf_bprm_opts_set "
        "bpf_ima_inode_hash bpf_ima_file_hash bpf_sys_bpf bpf_sys_close bpf_btf_find_by_name_kind "
        "bpf_kallsyms_lookup_name bpf_rc_repeat bpf_rc_keydown bpf_rc_pointer_rel bpf_tcp_send_ack"),
    "task_kfuncs": "",
    "text_helpers": (
        "bpf_strtol bpf_strtoul bpf_strncmp bpf_snprintf bpf_trace_printk bpf_trace_vprintk bpf_per_cpu_ptr "
        "bpf_this_cpu_ptr"),
    "time": (
        "bpf_ktime_get_ns bpf_ktime_get_boot_ns bpf_ktime_get_coarse_ns bpf_ktime_get_tai_ns bpf_jiffies64 "
        "bpf_get_prandom_u32 bpf_get_smp_processor_id bpf_get_numa_node_id"),
    "timer": (
        "bpf_timer_init bpf_timer_set_callback bpf_timer_start bpf_timer_cancel bpf_spin_lock bpf_spin_unlock"),
    "trees": "",
    "tunnel": (
        "bpf_skb_get_tunnel_key bpf_skb_set_tunnel_key bpf_skb_get_tunnel_opt bpf_skb_set_tunnel_opt "
        "bpf_skb_get_xfrm_state bpf_lwt_push_encap bpf_lwt_seg6_store_bytes bpf_lwt_seg6_adjust_srh "
        "bpf_lwt_seg6_action"),
    "unsupported": "",
    "workqueue": "",
    "xdp": (
        "bpf_xdp_adjust_head bpf_xdp_adjust_meta bpf_xdp_adjust_tail bpf_xdp_get_buff_len bpf_xdp_load_bytes "
        "bpf_xdp_store_bytes"),
}

KFUNCS: Final = {
    "cgroup": "",
    "conntrack": (
        "bpf_skb_ct_lookup bpf_xdp_ct_lookup bpf_ct_release bpf_xdp_metadata_rx_timestamp bpf_xdp_metadata_rx_hash "
        "bpf_xdp_metadata_rx_vlan_tag"),
    "critical_sections": (
        "bpf_rcu_read_lock bpf_rcu_read_unlock bpf_preempt_disable bpf_preempt_enable bpf_local_irq_save "
        "bpf_local_irq_restore bpf_res_spin_lock bpf_res_spin_unlock bpf_res_spin_lock_irqsave "
        "bpf_res_spin_unlock_irqrestore bpf_throw"),
    "csum": "",
    "dynptr": (
        "bpf_dynptr_from_skb bpf_dynptr_from_xdp bpf_dynptr_from_skb_meta bpf_dynptr_slice bpf_dynptr_slice_rdwr "
        "bpf_dynptr_adjust bpf_dynptr_is_null bpf_dynptr_is_rdonly bpf_dynptr_size bpf_dynptr_clone "
        "bpf_dynptr_copy bpf_dynptr_memset"),
    "graph": (
        "bpf_obj_new_impl bpf_obj_drop_impl bpf_percpu_obj_new_impl bpf_percpu_obj_drop_impl "
        "bpf_refcount_acquire_impl bpf_obj_new bpf_obj_drop bpf_percpu_obj_new bpf_percpu_obj_drop "
        "bpf_refcount_acquire"),
    "iters": (
        "bpf_iter_num_new bpf_iter_num_next bpf_iter_num_destroy bpf_iter_bits_new bpf_iter_bits_next "
        "bpf_iter_bits_destroy bpf_iter_task_new bpf_iter_task_next bpf_iter_task_destroy bpf_iter_task_vma_new "
        "bpf_iter_task_vma_next bpf_iter_task_vma_destroy bpf_iter_css_new bpf_iter_css_next bpf_iter_css_destroy "
        "bpf_iter_css_task_new bpf_iter_css_task_next bpf_iter_css_task_destroy bpf_iter_kmem_cache_new "
        "bpf_iter_kmem_cache_next bpf_iter_kmem_cache_destroy bpf_iter_dmabuf_new bpf_iter_dmabuf_next "
        "bpf_iter_dmabuf_destroy"),
    "kobj": (
        "__bpf_trap bpf_cast_to_kern_ctx bpf_rdonly_cast bpf_map_sum_elem_count bpf_get_kmem_cache "
        "bpf_arena_alloc_pages bpf_arena_free_pages bpf_arena_reserve_pages bpf_task_from_vpid "
        "bpf_task_under_cgroup bpf_task_get_cgroup1 bpf_send_signal_task bpf_cgroup_acquire bpf_cgroup_release "
        "bpf_cgroup_ancestor bpf_cgroup_from_id bpf_cgroup_read_xattr bpf_lookup_user_key bpf_lookup_system_key "
        "bpf_key_put bpf_copy_from_user_str bpf_copy_from_user_task_str bpf_probe_read_user_dynptr "
        "bpf_probe_read_kernel_dynptr bpf_probe_read_user_str_dynptr bpf_probe_read_kernel_str_dynptr "
        "bpf_copy_from_user_dynptr bpf_copy_from_user_str_dynptr bpf_copy_from_user_task_dynptr "
        "bpf_copy_from_user_task_str_dynptr bpf_stream_vprintk_impl bpf_task_work_schedule_signal_impl "
        "bpf_task_work_schedule_resume_impl bpf_skb_ct_alloc bpf_xdp_ct_alloc bpf_ct_insert_entry "
        "bpf_ct_set_timeout bpf_ct_change_timeout bpf_ct_set_status bpf_ct_change_status bpf_ct_set_nat_info "
        "bpf_xdp_get_xfrm_state bpf_xdp_xfrm_state_release bpf_sk_assign_tcp_reqsk bpf_crypto_encrypt "
        "bpf_crypto_decrypt bpf_xdp_pull_data"),
    "kptr": (
        "bpf_skb_acquire bpf_skb_kptr_get bpf_skb_release"),
    "lists": (
        "bpf_list_push_front_impl bpf_list_push_back_impl bpf_list_push_front bpf_list_push_back bpf_list_add "
        "bpf_list_pop_front bpf_list_pop_back bpf_list_del bpf_list_front bpf_list_back bpf_list_is_first "
        "bpf_list_is_last bpf_list_empty"),
    "loop": "",
    "map_helpers": "",
    "map_kind": "",
    "nofault": "",
    "packet_bytes": "",
    "printf": "",
    "qdisc_kfuncs": (
        "bpf_skb_get_hash bpf_kfree_skb bpf_qdisc_skb_drop bpf_qdisc_watchdog_schedule bpf_qdisc_bstats_update "
        "bpf_qdisc_init_prologue bpf_qdisc_reset_destroy_epilogue"),
    "redirect": "",
    "ringbuf_helpers": "",
    "skb_helpers": "",
    "skb_meta": "",
    "skb_room": "",
    "sock_helpers": "",
    "sockmap_helpers": "",
    "storage": "",
    "strings": (
        "bpf_strcmp bpf_strcasecmp bpf_strchr bpf_strchrnul bpf_strnchr bpf_strrchr bpf_strlen bpf_strnlen "
        "bpf_strspn bpf_strcspn bpf_strstr bpf_strnstr"),
    "syncookie": "",
    "task_helpers": "",
    "task_kfuncs": (
        "bpf_task_acquire bpf_task_release bpf_task_from_pid"),
    "text_helpers": "",
    "time": "",
    "timer": "",
    "trees": (
        "bpf_rbtree_add_impl bpf_rbtree_add bpf_rbtree_remove bpf_rbtree_first bpf_rbtree_root bpf_rbtree_left "
        "bpf_rbtree_right"),
    "tunnel": "",
    "unsupported": "",
    "workqueue": (
        "bpf_wq_init bpf_wq_set_callback_impl bpf_wq_set_callback bpf_wq_start"),
    "xdp": "",
}

MAP_TYPES: Final = {
    "array": (
        "array percpu_array"),
    "base": "",
    "batch": "",
    "bloom": (
        "bloom_filter"),
    "cgroup_array": (
        "cgroup_array"),
    "cgroup_storage": (
        "cgroup_storage percpu_cgroup_storage"),
    "contracts": (
        "unspec struct_ops arena"),
    "cpumap": (
        "cpumap"),
    "devmap": (
        "devmap devmap_hash"),
    "fd_array": "",
    "hash": (
        "hash lru_hash percpu_hash lru_percpu_hash"),
    "keyed": "",
    "local_storage": (
        "sk_storage inode_storage task_storage cgrp_storage"),
    "lpm_trie": (
        "lpm_trie"),
    "map_dump": "",
    "of_maps": (
        "array_of_maps hash_of_maps rbtree_of_maps"),
    "perf_event_array": (
        "perf_event_array"),
    "prog_array": (
        "prog_array"),
    "queue_stack": (
        "queue stack"),
    "rbtree": (
        "rbtree"),
    "ringbuf": (
        "ringbuf"),
    "sockmap": (
        "sockmap sockhash reuseport_sockarray"),
    "stack_trace": (
        "stack_trace"),
    "user_ringbuf": (
        "user_ringbuf"),
    "value_types": "",
    "xskmap": (
        "xskmap"),
}
