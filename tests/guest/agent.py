"""A verbs peer under remote control.

One connection is one device context. Each line is a JSON request {"op": ..., ...}; each gets one line back,
{"ok": {"is": KIND, ...}} or {"err": {"text": ..., "errno": ...}}. Objects have names chosen by the
caller. Everything goes away with the connection. The vocabulary is that of `peer::Request` and `peer::Reply`.

Numbers are those of <infiniband/verbs.h> (access, send flags, attribute mask); immediate data are in host order.
"""

import ctypes
import ipaddress
import json
import mmap
import os
import select
import socket
import time
import zlib

import pyverbs.enums as e
from pyverbs.addr import AH, AHAttr, GID, GlobalRoute
from pyverbs.cq import CQ, CompChannel
from pyverbs.device import Context
from pyverbs.mr import MR, MW, MWBind, MWBindInfo
from pyverbs.pd import PD
from pyverbs.pyverbs_error import PyverbsError, PyverbsRDMAError
from pyverbs.qp import QP, QPAttr, QPCap, QPEx, QPInitAttr, QPInitAttrEx
from pyverbs.srq import SRQ, SrqAttr, SrqInitAttr
from pyverbs.wr import RecvWR, SendWR, SGE


def names(prefix, words):
    """Maps an enum's values to their names without the prefix, and back."""
    by_name = {word: getattr(e, prefix + word) for word in words.split()}
    return by_name, {value: name for name, value in by_name.items()}


STATES, STATE_NAMES = names("IBV_QPS_", "RESET INIT RTR RTS SQD SQE ERR")
TYPES, _ = names("IBV_QPT_", "RC UC UD")
_, STATUS_NAMES = names(
    "IBV_WC_",
    "SUCCESS LOC_LEN_ERR LOC_QP_OP_ERR LOC_EEC_OP_ERR LOC_PROT_ERR WR_FLUSH_ERR MW_BIND_ERR BAD_RESP_ERR"
    " LOC_ACCESS_ERR REM_INV_REQ_ERR REM_ACCESS_ERR REM_OP_ERR RETRY_EXC_ERR RNR_RETRY_EXC_ERR LOC_RDD_VIOL_ERR"
    " REM_INV_RD_REQ_ERR REM_ABORT_ERR INV_EECN_ERR INV_EEC_STATE_ERR FATAL_ERR RESP_TIMEOUT_ERR GENERAL_ERR",
)
_, OPCODE_NAMES = names(
    "IBV_WC_",
    "SEND RDMA_WRITE RDMA_READ COMP_SWAP FETCH_ADD BIND_MW LOCAL_INV ATOMIC_WRITE RECV RECV_RDMA_WITH_IMM",
)
_, EVENT_NAMES = names(
    "IBV_EVENT_",
    "CQ_ERR QP_FATAL QP_REQ_ERR QP_ACCESS_ERR COMM_EST SQ_DRAINED PATH_MIG PATH_MIG_ERR DEVICE_FATAL PORT_ACTIVE"
    " PORT_ERR LID_CHANGE PKEY_CHANGE SM_CHANGE SRQ_ERR SRQ_LIMIT_REACHED QP_LAST_WQE_REACHED CLIENT_REREGISTER"
    " GID_CHANGE",
)
WR_OPCODES = {
    "SEND": e.IBV_WR_SEND,
    "SEND_IMM": e.IBV_WR_SEND_WITH_IMM,
    "SEND_INV": e.IBV_WR_SEND_WITH_INV,
    "WRITE": e.IBV_WR_RDMA_WRITE,
    "WRITE_IMM": e.IBV_WR_RDMA_WRITE_WITH_IMM,
    "READ": e.IBV_WR_RDMA_READ,
    "CMP_SWAP": e.IBV_WR_ATOMIC_CMP_AND_SWP,
    "FETCH_ADD": e.IBV_WR_ATOMIC_FETCH_AND_ADD,
    "LOCAL_INV": e.IBV_WR_LOCAL_INV,
}
EXTENDED_OPS = (
    e.IBV_QP_EX_WITH_SEND | e.IBV_QP_EX_WITH_SEND_WITH_IMM | e.IBV_QP_EX_WITH_SEND_WITH_INV
    | e.IBV_QP_EX_WITH_RDMA_WRITE | e.IBV_QP_EX_WITH_RDMA_WRITE_WITH_IMM | e.IBV_QP_EX_WITH_RDMA_READ
    | e.IBV_QP_EX_WITH_ATOMIC_CMP_AND_SWP | e.IBV_QP_EX_WITH_ATOMIC_FETCH_AND_ADD
    | e.IBV_QP_EX_WITH_LOCAL_INV | e.IBV_QP_EX_WITH_BIND_MW
)  # fmt: skip
A19_OPS = e.IBV_QP_EX_WITH_ATOMIC_WRITE
PATH_MTUS = {256: 1, 512: 2, 1024: 3, 2048: 4, 4096: 5}
PATH_MTU_BYTES = {value: size for size, value in PATH_MTUS.items()}

# Attributes of modify_qp: name in the request, attribute of QPAttr, bit of the mask.
ATTRIBUTES = [
    ("state", "qp_state", e.IBV_QP_STATE),
    ("cur_state", "cur_qp_state", e.IBV_QP_CUR_STATE),
    ("sqd_notify", "en_sqd_async_notify", e.IBV_QP_EN_SQD_ASYNC_NOTIFY),
    ("access", "qp_access_flags", e.IBV_QP_ACCESS_FLAGS),
    ("pkey_index", "pkey_index", e.IBV_QP_PKEY_INDEX),
    ("port", "port_num", e.IBV_QP_PORT),
    ("qkey", "qkey", e.IBV_QP_QKEY),
    ("path", "ah_attr", e.IBV_QP_AV),
    ("path_mtu", "path_mtu", e.IBV_QP_PATH_MTU),
    ("timeout", "timeout", e.IBV_QP_TIMEOUT),
    ("retry_cnt", "retry_cnt", e.IBV_QP_RETRY_CNT),
    ("rnr_retry", "rnr_retry", e.IBV_QP_RNR_RETRY),
    ("rq_psn", "rq_psn", e.IBV_QP_RQ_PSN),
    ("max_rd_atomic", "max_rd_atomic", e.IBV_QP_MAX_QP_RD_ATOMIC),
    ("min_rnr_timer", "min_rnr_timer", e.IBV_QP_MIN_RNR_TIMER),
    ("sq_psn", "sq_psn", e.IBV_QP_SQ_PSN),
    ("max_dest_rd_atomic", "max_dest_rd_atomic", e.IBV_QP_MAX_DEST_RD_ATOMIC),
    ("dest_qpn", "dest_qp_num", e.IBV_QP_DEST_QPN),
]


def serve(connection, lines, device):
    peer = Peer(device)
    for line in lines:
        request = json.loads(line)
        try:
            answer = {"ok": getattr(peer, "op_" + request.pop("op"))(**request) or {"is": "done"}}
        except PyverbsRDMAError as error:
            answer = {"err": {"text": str(error), "errno": abs(error.error_code or 0)}}
        except (PyverbsError, KeyError, TypeError, ValueError, AttributeError, OSError) as error:
            answer = {"err": {"text": repr(error), "errno": None}}
        connection.sendall(json.dumps(answer).encode() + b"\n")


class Region:
    """Memory of a memory region: ours, so that it outlives the registration."""

    def __init__(self, length):
        self.map = mmap.mmap(-1, max(length, 1))
        self.address = ctypes.addressof(ctypes.c_char.from_buffer(self.map))
        self.mr = None


class Peer:
    def __init__(self, device):
        self.device = device
        self.context = None
        self.objects = {}
        self.regions = {}
        self.windows = {}
        self.channels = {}

    # Device and memory

    def op_open(self, gid_index):
        self.context = Context(name=self.device)
        self.async_fd = next(fd for fd, target in open_files() if "infinibandevent" in target)
        self.gid_index = gid_index
        gid = ipaddress.IPv6Address(self.context.query_gid(1, gid_index).gid)
        port = self.context.query_port(1)
        return {"is": "device", "gid": str(gid.ipv4_mapped or gid), "active_mtu": PATH_MTU_BYTES[port.active_mtu]}

    def op_alloc_pd(self, pd):
        self.objects[pd] = PD(self.context)

    def op_reg_mr(self, mr, pd, len, access):
        region = Region(len)
        region.mr = MR(self.objects[pd], len, access, address=region.address)
        self.objects[mr] = region.mr
        self.regions[mr] = region
        return {"is": "mr", "addr": region.address, "lkey": region.mr.lkey, "rkey": region.mr.rkey}

    def op_write_mem(self, mr, offset, data):
        data = bytes.fromhex(data)
        self.regions[mr].map[offset : offset + len(data)] = data

    def op_read_mem(self, mr, offset, len):
        return {"is": "memory", "data": self.regions[mr].map[offset : offset + len].hex()}

    def op_crc_mem(self, mr, offset, len):
        return {"is": "crc", "crc32": zlib.crc32(self.regions[mr].map[offset : offset + len])}

    def op_alloc_mw(self, mw, pd, type2):
        window = MW(self.objects[pd], e.IBV_MW_TYPE_2 if type2 else e.IBV_MW_TYPE_1)
        self.objects[mw] = window
        self.windows[mw] = (type2, window.rkey)

    def op_bind_mw(self, qp, wr_id, mw, mr, offset, len, access):
        qp, window = self.objects[qp], self.objects[mw]
        type2, before = self.windows[mw]
        info = MWBindInfo(self.objects[mr], self.regions[mr].address + offset, len, access)
        if type2:
            rkey = before & ~0xFF | (before + 1) & 0xFF
            qp.wr_start()
            qp.wr_id, qp.wr_flags = wr_id, e.IBV_SEND_SIGNALED
            qp.wr_bind_mw(window, rkey, info)
            qp.wr_complete()
            self.windows[mw] = (type2, rkey)
            return {"is": "mw", "rkey": rkey}
        qp.bind_mw(window, MWBind(info, send_flags=e.IBV_SEND_SIGNALED, wr_id=wr_id))
        return {"is": "mw", "rkey": window.rkey}

    def op_destroy(self, name):
        self.objects[name].close()
        del self.objects[name]

    # Completion queues

    def op_create_cq(self, cq, depth, channel):
        if channel:
            before = {fd for fd, _ in open_files()}
            events = CompChannel(self.context)
            fd = next(fd for fd, target in open_files() if fd not in before and "infinibandevent" in target)
            self.channels[cq] = (events, fd)
        self.objects[cq] = CQ(self.context, depth, channel=events if channel else None)
        return {"is": "cq", "depth": self.objects[cq].cqe}

    def op_poll_cq(self, cq, max, timeout_ms):
        deadline = time.monotonic() + timeout_ms / 1000
        found = []
        while True:
            while len(found) < max:
                count, completions = self.objects[cq].poll(max - len(found))
                found += [completion(wc) for wc in completions]
                if not count:
                    break
            if len(found) >= max or time.monotonic() >= deadline:
                return {"is": "completions", "completions": found}
            time.sleep(0.0005)

    def op_req_notify(self, cq, solicited_only):
        self.objects[cq].req_notify(solicited_only)

    def op_wait_notify(self, cq, timeout_ms):
        channel, fd = self.channels[cq]
        notified = readable(fd, timeout_ms)
        if notified:
            channel.get_cq_event(self.objects[cq])
        return {"is": "notified", "notified": notified}

    def op_poll_async(self, timeout_ms):
        events = []
        while readable(self.async_fd, timeout_ms):
            event = self.context.get_async_event()
            event.ack()
            events.append(EVENT_NAMES.get(event.event_type, str(event.event_type)))
            timeout_ms = 0
        return {"is": "events", "events": events}

    # Shared receive queues

    def op_create_srq(self, srq, pd, depth):
        attr = SrqAttr(max_wr=depth, max_sge=4, srq_limit=0)
        self.objects[srq] = SRQ(self.objects[pd], SrqInitAttr(attr))

    def op_limit_srq(self, srq, limit):
        self.objects[srq].modify(SrqAttr(srq_limit=limit), e.IBV_SRQ_LIMIT)

    def op_query_srq(self, srq):
        return {"is": "srq", "limit": self.objects[srq].query().srq_limit}

    def op_post_srq_recv(self, srq, wrs):
        self.objects[srq].post_recv(recv_wrs(wrs))

    # Queue pairs

    def op_create_qp(self, qp, pd, type, send_cq, recv_cq, srq, caps, sq_sig_all):
        capabilities = QPCap(
            max_send_wr=caps["send_wr"],
            max_recv_wr=caps["recv_wr"],
            max_send_sge=caps["send_sge"],
            max_recv_sge=caps["recv_sge"],
            max_inline_data=caps["inline"],
        )
        common = {
            "qp_type": TYPES[type],
            "scq": self.objects[send_cq],
            "rcq": self.objects[recv_cq],
            "srq": self.objects[srq] if srq else None,
            "cap": capabilities,
            "sq_sig_all": int(sq_sig_all),
        }
        pd = self.objects[pd]
        if type == "RC":
            mask = e.IBV_QP_INIT_ATTR_PD | e.IBV_QP_INIT_ATTR_SEND_OPS_FLAGS
            attr = QPInitAttrEx(pd=pd, comp_mask=mask, send_ops_flags=EXTENDED_OPS | A19_OPS, **common)
            try:
                made = QPEx(self.context, attr)
            except PyverbsRDMAError:
                # Few devices know the operations of annex A19.
                attr.send_ops_flags = EXTENDED_OPS
                made = QPEx(self.context, attr)
        else:
            made = QP(pd, QPInitAttr(**common))
        self.objects[qp] = made
        return {"is": "qp", "qpn": made.qp_num}

    def op_modify_qp(self, qp, attr, mask):
        native = QPAttr()
        given = 0
        for name, field, bit in ATTRIBUTES:
            value = attr.get(name)
            if value is None:
                continue
            given |= bit
            if name in ("state", "cur_state"):
                value = STATES[value]
            elif name == "path_mtu":
                value = PATH_MTUS.get(value, value)
            elif name == "path":
                value = self.path(value)
            setattr(native, field, value)
        self.objects[qp].modify(native, given if mask is None else mask)

    def op_query_qp(self, qp):
        attr, init = self.objects[qp].query((1 << 21) - 1)
        found = {name: getattr(attr, field) for name, field, _ in ATTRIBUTES if name != "path"}
        found["state"] = STATE_NAMES[attr.qp_state]
        found["cur_state"] = STATE_NAMES.get(attr.cur_qp_state, "RESET")
        found["sqd_notify"] = None
        found["path_mtu"] = PATH_MTU_BYTES.get(attr.path_mtu)
        caps = {
            "send_wr": init.cap.max_send_wr,
            "recv_wr": init.cap.max_recv_wr,
            "send_sge": init.cap.max_send_sge,
            "recv_sge": init.cap.max_recv_sge,
            "inline": init.cap.max_inline_data,
        }
        return {"is": "qp_attr", "attr": found, "sq_draining": bool(attr.sq_draining), "caps": caps}

    def path(self, path):
        address = ipaddress.ip_address(path["gid"])
        if address.version == 4:
            address = ipaddress.IPv6Address("::ffff:" + str(address))
        route = GlobalRoute(
            dgid=GID(address.exploded),
            sgid_index=self.gid_index,
            hop_limit=path["hop_limit"],
            traffic_class=path["traffic_class"],
            flow_label=path["flow_label"],
        )
        return AHAttr(gr=route, is_global=1, port_num=1, sl=path["sl"])

    def op_create_ah(self, ah, pd, path):
        self.objects[ah] = AH(self.objects[pd], attr=self.path(path))

    # Work requests

    def op_post_send(self, qp, wrs, extended):
        if extended:
            return self.post_extended(self.objects[qp], wrs)
        self.objects[qp].post_send(linked([self.send_wr(wr) for wr in wrs]))

    def op_post_recv(self, qp, wrs):
        self.objects[qp].post_recv(recv_wrs(wrs))

    def send_wr(self, wr):
        invalidates = wr["opcode"] in ("SEND_INV", "LOCAL_INV")
        native = SendWR(
            wr_id=wr["wr_id"],
            opcode=WR_OPCODES[wr["opcode"]],
            num_sge=len(sges(wr)),
            sg=sges(wr),
            send_flags=wr["flags"],
            # The two share a field.
            imm_data=wr["inv_rkey"] if invalidates else socket.htonl(wr["imm"]),
        )
        if wr["opcode"] in ("CMP_SWAP", "FETCH_ADD"):
            native.set_wr_atomic(wr["rkey"], wr["remote_addr"], wr["compare_add"], wr["swap"])
        elif wr["to"]:
            native.set_wr_ud(self.objects[wr["to"]["ah"]], wr["to"]["qpn"], wr["to"]["qkey"])
        elif not invalidates:
            native.set_wr_rdma(wr["rkey"], wr["remote_addr"])
        return native

    def post_extended(self, qp, wrs):
        """Posts through ibv_wr_start ... ibv_wr_complete, which checks less than ibv_post_send does."""
        qp.wr_start()
        for wr in wrs:
            qp.wr_id = wr["wr_id"]
            qp.wr_flags = wr["flags"]
            opcode = wr["opcode"]
            imm = socket.htonl(wr["imm"])
            if opcode == "SEND":
                qp.wr_send()
            elif opcode == "SEND_IMM":
                qp.wr_send_imm(imm)
            elif opcode == "SEND_INV":
                qp.wr_send_inv(wr["inv_rkey"])
            elif opcode == "WRITE":
                qp.wr_rdma_write(wr["rkey"], wr["remote_addr"])
            elif opcode == "WRITE_IMM":
                qp.wr_rdma_write_imm(wr["rkey"], wr["remote_addr"], imm)
            elif opcode == "READ":
                qp.wr_rdma_read(wr["rkey"], wr["remote_addr"])
            elif opcode == "CMP_SWAP":
                qp.wr_atomic_cmp_swp(wr["rkey"], wr["remote_addr"], wr["compare_add"], wr["swap"])
            elif opcode == "FETCH_ADD":
                qp.wr_atomic_fetch_add(wr["rkey"], wr["remote_addr"], wr["compare_add"])
            elif opcode == "LOCAL_INV":
                qp.wr_local_inv(wr["inv_rkey"])
            elif opcode == "ATOMIC_WRITE":
                # Here its eight bytes travel with the request.
                data = ctypes.string_at(wr["sges"][0]["addr"], 8)
                qp.wr_atomic_write(wr["rkey"], wr["remote_addr"], data)
                continue
            if wr["sges"]:
                qp.wr_set_sge_list(len(wr["sges"]), sges(wr))
        qp.wr_complete()


def linked(requests):
    for request, following in zip(requests, requests[1:]):
        request.next_wr = following
    return requests[0]


def recv_wrs(wrs):
    return linked([RecvWR(wr_id=wr["wr_id"], num_sge=len(sges(wr)), sg=sges(wr)) for wr in wrs])


def sges(wr):
    """Without any element one of no bytes: pyverbs wants one."""
    return [SGE(sge["addr"], sge["len"], sge["lkey"]) for sge in wr["sges"]] or [SGE(0, 0, 0)]


def completion(wc):
    """Immediate data and the invalidated key share a field; the flags say which it is, if either."""
    return {
        "wr_id": wc.wr_id,
        "status": STATUS_NAMES.get(wc.status, str(wc.status)),
        "opcode": OPCODE_NAMES.get(wc.opcode, str(wc.opcode)),
        "vendor_err": wc.vendor_err,
        "byte_len": wc.byte_len,
        "imm": socket.ntohl(wc.imm_data),
        "flags": wc.wc_flags,
        "qpn": wc.qp_num,
        "src_qp": wc.src_qp,
    }


def readable(fd, timeout_ms):
    return bool(select.select([fd], [], [], timeout_ms / 1000)[0])


def open_files():
    found = []
    for name in os.listdir("/proc/self/fd"):
        try:
            found.append((int(name), os.readlink("/proc/self/fd/" + name)))
        except OSError:
            pass
    return found
