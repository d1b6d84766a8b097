# ‖w‖ / ‖∇L‖ of TVLARS, layer × step, of ratio-6.csv:
#   gnuplot -e "picture='ratio-6.pdf'" ratio-6.gp
# The ending of `picture` says the format: svg, pdf or png. legend=0 leaves the legend out.

if (!exists("picture")) picture = "ratio-6.svg"
if (!exists("legend")) legend = 1
format = picture[strlen(picture) - 2 : *]
width = 460
height = 192 + (legend ? 0 : 0)
if (format eq "svg") set terminal svg size width, height noenhanced font "sans-serif,13"
if (format eq "pdf") set terminal pdfcairo size width / 90.0, height / 90.0 noenhanced font "sans,9.5"
if (format eq "png") set terminal pngcairo size 2 * width, 2 * height noenhanced font "sans,13" fontscale 1.35
set output picture

set datafile separator ","
set border 3 lc rgb "#777777"
set tics nomirror out scale 0.6 textcolor rgb "#333333"
set grid ytics lt 1 lc rgb "#dddddd" lw 1
unset grid
set margins at screen 0.24347826086956523, at screen 0.782608695652174, at screen 0.2916666666666667, at screen 0.9583333333333334
set xlabel "step" offset 0, 0.4
set cblabel '‖w‖ / ‖∇L‖' offset 0.5, 0
set xrange [1 - 0.5 : 240 + 0.5]
set xtics 50
set yrange [8 - 0.5 : -0.5]
set logscale cb
set cbrange [0.8251134753227234 : 2235.302001953125]
set cbtics font ",11" scale 0.4 ('1' 1, '10' 10, '100' 100, '1e+03' 1000)
set colorbox user origin 0.782608695652174 + 0.014, 0.2916666666666667 size 0.03, 0.9583333333333334 - 0.2916666666666667 noborder
set palette maxcolors 64 defined \
  (0 "#440154", 1 "#482878", 2 "#3e4989", 3 "#31688e", 4 "#26828e", 5 "#1f9e89", 6 "#35b779", 7 "#6ece58", 8 "#b5de2b", 9 "#fde725")
set ytics scale 0 font ",10" ('conv1' 0, \
  'layer1.0.conv1' 1, \
  'layer1.0.conv2' 2, \
  'layer2.0.conv1' 3, \
  'layer2.0.conv2' 4, \
  'layer3.0.conv1' 5, \
  'layer3.0.conv2' 6, \
  'fc' 7)

plot 'ratio-6.csv' matrix every 1:1:1:1 using (1 - 0.5 + ($1 - 0.5) * 1):($2 - 1):3 with image notitle
unset output
