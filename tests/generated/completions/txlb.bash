# Completion of txlb(8) for bash.
# Knows options, verbs and what they take; names of what there is are asked of the running txlb.
# @MADE@

# What the option $1 takes: a kind, and words of that kind.
_txlb_argument() {
    case $1 in
@ARGUMENTS@
    esac
}

# What the verb $1 takes.
_txlb_keys() {
    case $1 in
@KEYS@
    esac
}

# What may stand behind the equals sign: $1 is VERB.KEY.
_txlb_values() {
    case $1 in
@VALUES@
    esac
}

_txlb_from() {
    mapfile -t COMPREPLY < <(compgen -W "$1" -- "$2")
}

# Completes $2, the argument of the option $1; fails if that takes none.
_txlb_complete_argument() {
    local kind
    kind=$(_txlb_argument "$1")
    case $kind in
        '') return 1 ;;
        files*)
            # With words that may stand in the place of one.
            mapfile -t COMPREPLY < <(compgen -f -W "${kind#files}" -- "$2") && compopt -o filenames
            ;;
        folders) mapfile -t COMPREPLY < <(compgen -d -- "$2") && compopt -o filenames ;;
        users) mapfile -t COMPREPLY < <(compgen -u -- "$2") ;;
        groups) mapfile -t COMPREPLY < <(compgen -g -- "$2") ;;
        words\ *) _txlb_from "${kind#words }" "$2" ;;
    esac
    return 0
}

# What a running txlb knows about the end of the line $2, by the control socket $1: words that
# need no quotes, or nothing if none answers at once.
_txlb_live() {
    local socket=() word
    [ -z "$1" ] || socket=(-C "$1")
    while read -r word; do
        [[ $word == *\"* ]] || echo "$word"
    done < <(txlb ctl "${socket[@]}" complete "line=$2" 2>/dev/null)
}

# What "txlb ctl" takes: a verb, then keys with values or a place, and options anywhere.
_txlb_ctl() {
    local cur=$1 verb='' given='' rest='' socket='' key word live
    shift
    while [ $# -gt 0 ]; do
        if [ "$1" = -C ]; then
            socket=${2-}
            shift
        elif [[ $1 == -* ]]; then
            :
        elif [ -n "$verb" ]; then
            given+=" ${1%%=*}="
            rest+=" $1"
        else
            verb=$1
        fi
        shift
    done
    if [[ $cur == -* ]]; then
        _txlb_from '@CTL_OPTIONS@' "$cur"
        return
    elif [ -z "$verb" ]; then
        _txlb_from '@VERBS@' "$cur"
        return
    fi
    live=$(_txlb_live "$socket" "$verb$rest $cur")
    if [[ $cur == *=* ]]; then
        key=${cur%%=*}
        if [ -n "$live" ]; then
            _txlb_from "$(for word in $live; do echo "${word#*=}"; done)" "${cur#*=}"
        else
            _txlb_from "$(_txlb_values "$verb.$key")" "${cur#*=}"
        fi
        # Readline has the word begin behind the sign, unless it was told otherwise.
        [[ $COMP_WORDBREAKS == *=* ]] || COMPREPLY=("${COMPREPLY[@]/#/$key=}")
    elif [ -n "$live" ]; then
        _txlb_from "$live" "$cur"
    else
        _txlb_from "$(for word in $(_txlb_keys "$verb"); do
            [[ "$given " == *" ${word%...} "* && $word != *... ]] || echo "${word%...}"
        done)" "$cur"
    fi
    [[ ${COMPREPLY[0]-} != *= ]] || compopt -o nospace
    # Behind a colon, too.
    if [[ $COMP_WORDBREAKS == *:* && $cur == *:* ]]; then
        cur=${cur#*=}
        COMPREPLY=("${COMPREPLY[@]#"${cur%"${cur##*:}"}"}")
    fi
}

_txlb() {
    local words=() cur='' prev
    # Readline takes words apart at colons and equals signs: these are whole.
    read -ra words <<<"${COMP_LINE:0:COMP_POINT}"
    if [[ ${COMP_LINE:0:COMP_POINT} != *[[:blank:]] ]]; then
        cur=${words[${#words[@]} - 1]}
        unset "words[${#words[@]}-1]"
    fi
    prev=${words[${#words[@]} - 1]}
    COMPREPLY=()
    if [ "${#words[@]}" -gt 1 ] && _txlb_complete_argument "$prev" "$cur"; then return; fi
    case ${words[1]-} in
        ctl) _txlb_ctl "$cur" "${words[@]:2}" ;;
        diff) _txlb_complete_argument -f "$cur" ;;
        passwd) ;;
        '') _txlb_from '@COMMANDS@ @OPTIONS@' "$cur" ;;
        *) _txlb_from '@OPTIONS@' "$cur" ;;
    esac
}

complete -F _txlb txlb
