"""`python -m thresher` is `thresher`; what `accelerate launch -m` needs."""

from thresher.cli.main import main

if __name__ == "__main__":
    main()
