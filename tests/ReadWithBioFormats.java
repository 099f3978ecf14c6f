import java.io.BufferedReader;
import java.io.InputStreamReader;
import java.io.PrintWriter;
import java.nio.charset.StandardCharsets;
import java.security.MessageDigest;
import java.util.ArrayList;
import java.util.HexFormat;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.stream.Collectors;
import loci.common.DebugTools;
import loci.common.services.ServiceFactory;
import loci.formats.FormatTools;
import loci.formats.ImageReader;
import loci.formats.meta.IMetadata;
import loci.formats.services.OMEXMLService;
import ome.units.UNITS;
import ome.units.quantity.Length;

/** Says of each file named on stdin what Bio-Formats reads in it: a line of JSON for each. */
class ReadWithBioFormats {
  public static void main(String[] arguments) throws Exception {
    DebugTools.setRootLevel("ERROR");
    OMEXMLService service = new ServiceFactory().getInstance(OMEXMLService.class);
    BufferedReader paths =
        new BufferedReader(new InputStreamReader(System.in, StandardCharsets.UTF_8));
    // Not to stdout, where libraries print what they like.
    try (PrintWriter out = new PrintWriter(arguments[0], StandardCharsets.UTF_8)) {
      for (String path = paths.readLine(); path != null; path = paths.readLine()) {
        out.println(json(described(path, service)));
      }
    }
  }

  private static Map<String, Object> described(String path, OMEXMLService service) {
    Map<String, Object> said = new LinkedHashMap<>();
    said.put("bioformats", FormatTools.VERSION);
    try (ImageReader reader = new ImageReader()) {
      IMetadata metadata = service.createOMEXMLMetadata();
      reader.setMetadataStore(metadata);
      reader.setId(path);
      said.put("format", reader.getFormat());
      said.put("files", reader.getUsedFiles().length);
      List<Object> series = new ArrayList<>();
      for (int index = 0; index < reader.getSeriesCount(); index++) {
        reader.setSeries(index);
        series.add(described(reader, metadata, index));
      }
      said.put("series", series);
    } catch (Exception error) {
      said.put("error", error.toString());
    }
    return said;
  }

  private static Map<String, Object> described(ImageReader reader, IMetadata metadata, int index)
      throws Exception {
    Map<String, Object> said = new LinkedHashMap<>();
    said.put("T", reader.getSizeT());
    said.put("C", reader.getSizeC());
    said.put("Z", reader.getSizeZ());
    said.put("Y", reader.getSizeY());
    said.put("X", reader.getSizeX());
    said.put("order", reader.getDimensionOrder());
    said.put("type", FormatTools.getPixelTypeString(reader.getPixelType()));
    said.put("little", reader.isLittleEndian());
    List<Object> channels = new ArrayList<>();
    for (int channel = 0; channel < metadata.getChannelCount(index); channel++) {
      channels.add(metadata.getChannelName(index, channel));
    }
    said.put("channels", channels);
    List<Object> sizes = new ArrayList<>();
    sizes.add(micrometres(metadata.getPixelsPhysicalSizeZ(index)));
    sizes.add(micrometres(metadata.getPixelsPhysicalSizeY(index)));
    sizes.add(micrometres(metadata.getPixelsPhysicalSizeX(index)));
    said.put("physical", sizes);
    Map<String, Object> positions = new LinkedHashMap<>();
    for (int plane = 0; plane < metadata.getPlaneCount(index); plane++) {
      Double x = micrometres(metadata.getPlanePositionX(index, plane));
      Double z = micrometres(metadata.getPlanePositionZ(index, plane));
      if (x != null && z != null) {
        String at = metadata.getPlaneTheT(index, plane).getValue() + ","
            + metadata.getPlaneTheC(index, plane).getValue() + ","
            + metadata.getPlaneTheZ(index, plane).getValue();
        positions.put(at, List.of(z, x));
      }
    }
    said.put("positions", positions);
    List<Object> planes = new ArrayList<>();
    for (int t = 0; t < reader.getSizeT(); t++) {
      for (int c = 0; c < reader.getEffectiveSizeC(); c++) {
        for (int z = 0; z < reader.getSizeZ(); z++) {
          byte[] pixels = reader.openBytes(reader.getIndex(z, c, t));
          byte[] digest = MessageDigest.getInstance("SHA-256").digest(pixels);
          planes.add(HexFormat.of().formatHex(digest));
        }
      }
    }
    said.put("planes", planes);
    return said;
  }

  private static Double micrometres(Length length) {
    Number value = length == null ? null : length.value(UNITS.MICROMETER);
    return value == null ? null : value.doubleValue();
  }

  private static String json(Object value) {
    if (value instanceof Map<?, ?> map) {
      return map.entrySet().stream()
          .map(entry -> json(entry.getKey()) + ":" + json(entry.getValue()))
          .collect(Collectors.joining(",", "{", "}"));
    }
    if (value instanceof List<?> list) {
      return list.stream().map(one -> json(one)).collect(Collectors.joining(",", "[", "]"));
    }
    if (value == null || value instanceof Number || value instanceof Boolean) {
      return String.valueOf(value);
    }
    StringBuilder text = new StringBuilder("\"");
    for (char letter : value.toString().toCharArray()) {
      boolean plain = letter >= ' ' && letter < 127 && letter != '"' && letter != '\\';
      text.append(plain ? String.valueOf(letter) : String.format("\\u%04x", (int) letter));
    }
    return text.append('"').toString();
  }
}
