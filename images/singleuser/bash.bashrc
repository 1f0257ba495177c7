# Every terminal of a notebook server.
[ -n "${PS1-}" ] || return 0
shopt -s checkwinsize histappend
HISTSIZE=10000
HISTFILESIZE=20000
PROMPT_COMMAND="history -a${PROMPT_COMMAND:+; $PROMPT_COMMAND}"
PS1='\[\e[1m\]${JUPYTERHUB_USER:-\u}\[\e[0m\]:\w\$ '
export EDITOR="${EDITOR:-nano}"
alias ls='ls --color=auto'
