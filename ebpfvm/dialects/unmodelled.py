"""Names of the kfuncs that a kernel offers to programs and that ebpfvm does not model.

The names are facts of Linux 6.18 and 7.2 on amd64, as distributions build them (functions tagged `bpf_kfunc` in their
BTF). A weak symbol that is neither modelled nor listed here does not exist on that kernel, so libbpf resolves it to
address 0.
"""

from __future__ import annotations

from typing import Final

_NAMES: Final = """
    bpf_cpumask_acquire bpf_cpumask_and bpf_cpumask_any_and_distribute bpf_cpumask_any_distribute
    bpf_cpumask_clear bpf_cpumask_clear_cpu bpf_cpumask_copy bpf_cpumask_create bpf_cpumask_empty
    bpf_cpumask_equal bpf_cpumask_first bpf_cpumask_first_and bpf_cpumask_first_zero bpf_cpumask_full
    bpf_cpumask_intersects bpf_cpumask_or bpf_cpumask_populate bpf_cpumask_release bpf_cpumask_set_cpu
    bpf_cpumask_setall bpf_cpumask_subset bpf_cpumask_test_and_clear_cpu bpf_cpumask_test_and_set_cpu
    bpf_cpumask_test_cpu bpf_cpumask_weight bpf_cpumask_xor bpf_crypto_ctx_acquire bpf_crypto_ctx_create
    bpf_crypto_ctx_release bpf_fentry_test1 bpf_get_dentry_xattr bpf_get_file_xattr bpf_get_task_exe_file
    bpf_kfunc_call_memb_release bpf_kfunc_call_test_release bpf_modify_return_test bpf_modify_return_test2
    bpf_modify_return_test_tp bpf_path_d_path bpf_put_file bpf_remove_dentry_xattr bpf_session_cookie
    bpf_session_is_return bpf_set_dentry_xattr bpf_sock_addr_set_sun_path bpf_sock_destroy
    bpf_sock_ops_enable_tx_tstamp css_rstat_flush css_rstat_updated cubictcp_acked cubictcp_cong_avoid
    cubictcp_init cubictcp_recalc_ssthresh cubictcp_state tcp_cong_avoid_ai tcp_reno_cong_avoid tcp_reno_ssthresh
    tcp_reno_undo_cwnd tcp_slow_start
"""
_NAMES_6_18: Final = """
    bbr_cwnd_event bbr_init bbr_main bbr_min_tso_segs bbr_set_state bbr_sndbuf_expand bbr_ssthresh bbr_undo_cwnd
    cubictcp_cwnd_event
"""
_NAMES_7_2: Final = """
    __scx_bpf_dsq_insert_vtime __scx_bpf_select_cpu_and bpf_dynptr_file_discard bpf_dynptr_from_file
    bpf_get_fsverity_digest bpf_get_mem_cgroup bpf_get_root_mem_cgroup bpf_io_uring_get_region
    bpf_io_uring_submit_sqes bpf_iter_scx_dsq_destroy bpf_iter_scx_dsq_new bpf_iter_scx_dsq_next
    bpf_mem_cgroup_flush_stats bpf_mem_cgroup_memory_events bpf_mem_cgroup_page_state bpf_mem_cgroup_usage
    bpf_mem_cgroup_vm_events bpf_put_mem_cgroup bpf_real_data_inode bpf_strcasestr bpf_stream_print_stack
    bpf_stream_vprintk bpf_strncasecmp bpf_strncasestr bpf_task_work_schedule_resume bpf_task_work_schedule_signal
    bpf_timer_cancel_async bpf_verify_pkcs7_signature bpf_wakeup_sources_get_head bpf_wakeup_sources_read_lock
    bpf_wakeup_sources_read_unlock crash_kexec cubictcp_cwnd_event_tx_start
    hid_bpf_allocate_context hid_bpf_get_data hid_bpf_hw_output_report hid_bpf_hw_request hid_bpf_input_report
    hid_bpf_release_context hid_bpf_try_input_report scx_bpf_cid_curr scx_bpf_cid_override scx_bpf_cid_to_cpu
    scx_bpf_cid_topo scx_bpf_cidperf_cap scx_bpf_cidperf_cur scx_bpf_cidperf_set scx_bpf_cpu_curr scx_bpf_cpu_node
    scx_bpf_cpu_rq scx_bpf_cpu_to_cid scx_bpf_cpuperf_cap scx_bpf_cpuperf_cur scx_bpf_cpuperf_set
    scx_bpf_create_dsq scx_bpf_destroy_dsq scx_bpf_dispatch_cancel scx_bpf_dispatch_nr_slots scx_bpf_dsq_insert
    scx_bpf_dsq_insert___v2 scx_bpf_dsq_insert_vtime scx_bpf_dsq_move scx_bpf_dsq_move_set_slice
    scx_bpf_dsq_move_set_vtime scx_bpf_dsq_move_to_local scx_bpf_dsq_move_to_local___v2 scx_bpf_dsq_move_vtime
    scx_bpf_dsq_nr_queued scx_bpf_dsq_peek scx_bpf_dsq_reenq scx_bpf_dump_bstr scx_bpf_error_bstr scx_bpf_events
    scx_bpf_exit_bstr scx_bpf_get_idle_cpumask scx_bpf_get_idle_cpumask_node scx_bpf_get_idle_smtmask
    scx_bpf_get_idle_smtmask_node scx_bpf_get_online_cpumask scx_bpf_get_possible_cpumask scx_bpf_kick_cid
    scx_bpf_kick_cpu scx_bpf_locked_rq scx_bpf_now scx_bpf_nr_cids scx_bpf_nr_cpu_ids scx_bpf_nr_node_ids
    scx_bpf_nr_online_cids scx_bpf_pick_any_cpu scx_bpf_pick_any_cpu_node scx_bpf_pick_idle_cpu
    scx_bpf_pick_idle_cpu_node scx_bpf_put_cpumask scx_bpf_put_idle_cpumask scx_bpf_reenqueue_local
    scx_bpf_reenqueue_local___v2 scx_bpf_select_cpu_and scx_bpf_select_cpu_dfl scx_bpf_sub_dispatch
    scx_bpf_task_cgroup scx_bpf_task_cid scx_bpf_task_cpu scx_bpf_task_running scx_bpf_task_set_dsq_vtime
    scx_bpf_task_set_slice scx_bpf_test_and_clear_cpu_idle scx_bpf_this_cid scx_bpf_tid_to_task
"""

IN_BOTH: Final = frozenset(_NAMES.split())
ONLY_6_18: Final = frozenset(_NAMES_6_18.split())
ONLY_7_2: Final = frozenset(_NAMES_7_2.split())
_NAMES_6_12: Final = """
    bpf_get_fsverity_digest bpf_verify_pkcs7_signature cgroup_rstat_flush cgroup_rstat_updated crash_kexec
    cubictcp_cwnd_event
"""
_MISSING_6_12: Final = """
    bpf_cpumask_populate bpf_remove_dentry_xattr bpf_set_dentry_xattr bpf_sock_ops_enable_tx_tstamp css_rstat_flush
    css_rstat_updated
"""
# The types of 6.1 tag no functions; these are those of the names above that it has, and the functions of conntrack.
_NAMES_6_1: Final = """
    bpf_ct_change_status bpf_ct_change_timeout bpf_ct_insert_entry bpf_ct_release bpf_ct_set_nat_info bpf_ct_set_status
    bpf_ct_set_timeout bpf_fentry_test1 bpf_key_put bpf_kfunc_call_memb_release bpf_kfunc_call_test_release
    bpf_lookup_system_key bpf_lookup_user_key bpf_modify_return_test bpf_skb_ct_alloc bpf_skb_ct_lookup
    bpf_verify_pkcs7_signature bpf_xdp_ct_alloc bpf_xdp_ct_lookup cubictcp_acked cubictcp_cong_avoid
    cubictcp_cwnd_event cubictcp_init cubictcp_recalc_ssthresh cubictcp_state tcp_cong_avoid_ai tcp_reno_cong_avoid
    tcp_reno_ssthresh tcp_reno_undo_cwnd tcp_slow_start
"""

IN_6_12: Final = IN_BOTH - frozenset(_MISSING_6_12.split()) | frozenset(_NAMES_6_12.split())
IN_6_1: Final = frozenset(_NAMES_6_1.split())
