#!/usr/bin/env bash
# The time in which ResNet-18 reaches 94 % on CIFAR-10. He et al.'s augmentation; SGD with Nesterov momentum, batch 128,
# weight decay 5e-4, a ramp up to 0.1 and down again over 35 epochs, as the entry to DAWNBench that Page's "How to
# train your ResNet" starts from.
source "$(dirname "${BASH_SOURCE[0]}")/part.sh"
[ -n "${data:-}" ] || { row "94 % on CIFAR-10" FAILED "needs --data cifar10:DIR"; exit 1; }
epochs=35 warmup=7 limits=()
[ "$quick" = false ] || epochs=2 warmup=1 limits=(--limit-train 10240)
run=$out/accuracy
started=$SECONDS
if ! train "$data" "$run" --model resnet18 --stem cifar --precision bf16 --optimizer sgd:goyal --lr 0.1 \
  --weight-decay 5e-4 --batch 128 --epochs $epochs --warmup-epochs $warmup --schedule cosine --checkpoint-every 0 \
  "${limits[@]}"; then
  row "94 % on CIFAR-10" FAILED "training failed: $(tail -n 1 "$out/$part.log" | cut -c1-120)"
  exit 1
fi
whole=$((SECONDS - started))
awk -F, -v whole=$whole -v quick=$quick '
  NR == 1 { for (i = 1; i <= NF; ++i) column[$i] = i; next }
  {
    seconds += $column["seconds"]
    accuracy = 100 * $column["test_accuracy"]
    if (accuracy > best) best = accuracy
    if (!reached && accuracy >= 94) { reached = seconds; epoch = NR - 1 }
  }
  END {
    figure = sprintf("best %.2f %%, last %.2f %% after %d epochs, %.1f s of training, %d s with everything", best, accuracy,
                     NR - 1, seconds, whole)
    if (reached) printf "met\t94 %% after %.1f s of training, epoch %d; %s\t94 %%\n", reached, epoch, figure
    else printf "%s\t%s\t94 %%\n", quick == "true" ? "measured" : "missed", figure
  }' "$run/epochs.csv" | while IFS=$'\t' read -r result figure target; do
  row "94 % on CIFAR-10, ResNet-18, bf16" "$result" "$figure" "$target"
done
