#!/usr/bin/env python3
"""Has a process make system calls, and prints what each returned: .ci/syscalls.py PID <CALLS

A line of CALLS is a name and, behind its last space, the number of the call and its arguments, with commas between
them: numbers as in C, and texts in quotes. Errors are -1. For x86_64. What debuggers save and restore besides the general
registers depends on the processor, and is left alone here.
"""

import ctypes
import os
import sys

SINGLESTEP, GETREGS, SETREGS, ATTACH, DETACH = 9, 12, 13, 16, 17
SYSCALL = b"\x0f\x05"
# struct user_regs_struct of sys/user.h
NAMES = (
    "r15 r14 r13 r12 rbp rbx r11 r10 r9 r8 rax rcx rdx rsi rdi orig_rax rip cs eflags rsp ss "
    "fs_base gs_base ds es fs gs"
)
ARGUMENTS = "rdi rsi rdx r10 r8 r9".split()
LAST_ERRNO = 4095
# Texts are put so far below the stack, and so far from each other.
BELOW, TEXT_BYTES = 64 << 10, 256

libc = ctypes.CDLL(None, use_errno=True)
libc.ptrace.restype = ctypes.c_long
libc.ptrace.argtypes = [ctypes.c_long, ctypes.c_long, ctypes.c_void_p, ctypes.c_void_p]


class Registers(ctypes.Structure):
    _fields_ = [(name, ctypes.c_ulonglong) for name in NAMES.split()]


def ptrace(request, pid, data=None):
    if libc.ptrace(request, pid, None, data) == -1:
        raise OSError(ctypes.get_errno(), f"ptrace {request}")


def number(text):
    is_octal = text.startswith("0") and text[1:].isdigit()
    return int(text, 8 if is_octal else 0)


def make(pid, memory, before, call):
    """Has the process make one call, from where it was in another."""
    words = call.split(",")
    registers = Registers.from_buffer_copy(before)
    # No call is to be made again, and the instruction is the one before.
    registers.orig_rax = ctypes.c_ulonglong(-1).value
    registers.rip -= len(SYSCALL)
    registers.rax = number(words[0])
    for index, (name, word) in enumerate(zip(ARGUMENTS, words[1:])):
        if word.startswith('"'):
            place = before.rsp - BELOW + index * TEXT_BYTES
            os.pwrite(memory, word.strip('"').encode() + b"\0", place)
            setattr(registers, name, place)
        else:
            setattr(registers, name, number(word))
    ptrace(SETREGS, pid, ctypes.byref(registers))
    ptrace(SINGLESTEP, pid)
    _, status = os.waitpid(pid, 0)
    if not os.WIFSTOPPED(status):
        raise SystemExit(f"process {pid} has ended: status {status}")
    ptrace(GETREGS, pid, ctypes.byref(registers))
    result = ctypes.c_longlong(registers.rax).value
    return -1 if -LAST_ERRNO <= result < 0 else result


def main():
    pid = int(sys.argv[1])
    ptrace(ATTACH, pid)
    os.waitpid(pid, 0)
    memory = os.open(f"/proc/{pid}/mem", os.O_RDWR)
    before = Registers()
    ptrace(GETREGS, pid, ctypes.byref(before))
    if os.pread(memory, len(SYSCALL), before.rip - len(SYSCALL)) != SYSCALL:
        raise SystemExit(f"process {pid} waits in no system call")
    for line in sys.stdin:
        name, call = line.rstrip("\n").rsplit(" ", 1)
        print(f"{name} = {make(pid, memory, before, call)}")
    ptrace(SETREGS, pid, ctypes.byref(before))
    ptrace(DETACH, pid)


main()
